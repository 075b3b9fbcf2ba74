package dist

// #include "mpi.h"
import "C"

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"runtime"
	"time"
	"unsafe"
)

// MPI is a group over an MPI library that is opened at run time. It implements backend.Collective as well, of which the calls may
// come from another goroutine than those of Group.
//
// MPI does not promise that a sum has the same bits on every rank, it only advises so. Open MPI's and MPICH's algorithms do it: each
// element is summed in one order, in one place or by operations that commute. The tests compare the bits.
type MPI struct {
	native     *C.senet_mpi
	rank, size int
	limit      time.Duration   // of the wait for the other ranks to close
	ops        chan *operation // has room, so that Sum need not wait for the thread
	over       chan struct{}   // closed when the thread has ended, and MPI with it
}

// operation is what the thread does for a call.
type operation struct {
	start   func(request *C.intptr_t, e *C.senet_mpi_error) C.int
	last    bool // MPI has ended with it
	request C.intptr_t
	pinned  runtime.Pinner // memory that MPI has a pointer to until the operation is over
	done    chan error     // has room for the result
}

// OpenMPI opens the library, starts it and checks that it sees the ranks of w. When ctx ends it returns, but MPI may go on waiting
// for the others: the process is to end then.
func OpenMPI(ctx context.Context, w World) (*MPI, error) {
	if w.By == ByTorchrun {
		return nil, fmt.Errorf("%w: torchrun's variables started this rank; ranks on the CPU are started by mpirun, by srun with a PMI that "+
			"the MPI library knows, or by senet train --nproc", ErrNoMPI)
	}
	lib, err := openLibrary()
	if err != nil {
		return nil, err
	}
	m := &MPI{native: lib.native, limit: closeLimit, ops: make(chan *operation, 64), over: make(chan struct{})}
	started := make(chan error, 1)
	go m.loop(started)
	select {
	case err = <-started:
	case <-ctx.Done():
		return nil, fmt.Errorf("start %s: waiting for the other ranks: %w", lib.version, ctx.Err())
	}
	if err != nil {
		return nil, fmt.Errorf("%w: start %s: %w", ErrNoMPI, lib.version, err)
	}
	if m.rank != w.Rank || m.size != w.Size {
		err := fmt.Errorf("%w: %s sees rank %d of %d, its launcher started rank %d of %d: library and launcher must be of the same MPI; "+
			"LD_LIBRARY_PATH says where libraries are found", ErrNoMPI, lib.path, m.rank, m.size, w.Rank, w.Size)
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

// Rank is this process's, from 0 on.
func (m *MPI) Rank() int { return m.rank }

// Size is the number of ranks.
func (m *MPI) Size() int { return m.size }

// Ranks is Size.
func (m *MPI) Ranks() int { return m.size }

// maxSum is the most elements of one MPI_Iallreduce, whose count is an int.
const maxSum = 1 << 30

// Sum implements backend.Collective.
func (m *MPI) Sum(x []float32) (wait func() error) {
	var waits []func() error
	for len(x) > 0 {
		part := x[:min(len(x), maxSum)]
		x = x[len(part):]
		op := &operation{start: func(request *C.intptr_t, e *C.senet_mpi_error) C.int {
			return C.senet_mpi_sum(m.native, (*C.float)(&part[0]), C.int(len(part)), request, e)
		}}
		op.pinned.Pin(&part[0])
		waits = append(waits, m.begin(op))
	}
	return func() error {
		var errs []error
		for _, wait := range waits {
			errs = append(errs, wait())
		}
		return errors.Join(errs...)
	}
}

// Gather implements Group.
func (m *MPI) Gather(mine []byte) ([][]byte, error) {
	if len(mine) > maxMessage {
		return nil, fmt.Errorf("gather: a message of %d bytes: want at most %d", len(mine), maxMessage)
	}
	counts, offsets := make([]C.int32_t, m.size), make([]C.int32_t, m.size)
	count := C.int32_t(len(mine))
	op := &operation{start: func(request *C.intptr_t, e *C.senet_mpi_error) C.int {
		return C.senet_mpi_gather_int(m.native, &count, &counts[0], request, e)
	}}
	op.pinned.Pin(&count)
	op.pinned.Pin(&counts[0])
	if err := m.begin(op)(); err != nil {
		return nil, err
	}
	total := int64(0)
	for rank, n := range counts {
		offsets[rank] = C.int32_t(total)
		if total += int64(n); total > math.MaxInt32 {
			return nil, fmt.Errorf("gather: the messages of %d ranks are more than 2 GiB", m.size)
		}
	}
	all := make([]byte, total+1)          // not empty, so that it has an address
	own := append([]byte(nil), mine...)   // MPI has it for longer than this call where that fails
	own = append(own, make([]byte, 1)...) // not empty either
	op = &operation{start: func(request *C.intptr_t, e *C.senet_mpi_error) C.int {
		return C.senet_mpi_gather_bytes(
			m.native, unsafe.Pointer(&own[0]), C.int(count), unsafe.Pointer(&all[0]), &counts[0], &offsets[0], request, e,
		)
	}}
	op.pinned.Pin(&own[0])
	op.pinned.Pin(&all[0])
	op.pinned.Pin(&counts[0])
	op.pinned.Pin(&offsets[0])
	if err := m.begin(op)(); err != nil {
		return nil, err
	}
	messages := make([][]byte, m.size)
	for rank := range messages {
		end := offsets[rank] + counts[rank]
		messages[rank] = all[offsets[rank]:end:end]
	}
	return messages, nil
}

// closeLimit is how long Close waits for the other ranks.
const closeLimit = 10 * time.Second

// Close ends MPI in this process, when all ranks do so; it cannot be opened again. Where the others do not, it returns an error after
// 10 s, and the launcher of MPI ends them when this process exits.
func (m *MPI) Close() error {
	return within(m.limit, "close MPI: other ranks have not come to their end", func() error {
		// MPI_Finalize need not wait, and the launcher may end the ranks that are left once one has exited.
		if _, err := m.Gather(nil); err != nil {
			return err
		}
		return m.begin(&operation{last: true, start: func(_ *C.intptr_t, e *C.senet_mpi_error) C.int {
			return C.senet_mpi_finalize(m.native, e)
		}})()
	})
}

// Abort ends all ranks of the job with the exit code, and this one as well where it does not return: a rank calls it that is about to
// exit with that code while the others wait for it. MPICH's launcher otherwise tells how the ranks ended that it killed then. Where
// Launch has started the ranks it does nothing, as Launch ends the others itself.
func (m *MPI) Abort(code int) error {
	if os.Getenv(statusVariable) != "" {
		return nil
	}
	wait := m.begin(&operation{last: true, start: func(_ *C.intptr_t, e *C.senet_mpi_error) C.int {
		return C.senet_mpi_abort(m.native, C.int(code), e)
	}})
	return within(m.limit, "MPI_Abort does not return", wait)
}

// within waits for f no longer than limit.
func within(limit time.Duration, otherwise string, f func() error) error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	select {
	case err := <-done:
		return err
	case <-time.After(limit):
		return errors.New(otherwise)
	}
}
