package cuda

/*
#include <stdlib.h>
#include "nccl.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"unsafe"

	"senet/internal/backend"
	"senet/internal/kernels"
)

// ncclLibrary is the name by which the system's loader finds NCCL.
const ncclLibrary = "libnccl.so.2"

// NCCL tells the version of NCCL that senet would use, e.g. "2.27.3", or in plain words why it can use none.
func NCCL() (version, problem string) { return ncclAt(ncclLibrary) }

func ncclAt(path string) (version, problem string) {
	name := C.CString(path)
	defer C.free(unsafe.Pointer(name))
	var v C.int
	var e C.senet_nccl_error
	if C.senet_nccl_version(name, &v, &e) != 0 {
		return "", ncclProblem(path, C.GoString(&e.text[0]))
	}
	return cudnnVersion(int(v)), ""
}

// ncclProblem says what to do about the loader's message.
func ncclProblem(path, text string) string {
	if strings.HasPrefix(text, path+": cannot open shared object file") {
		text = path + " was not found"
	}
	return "NCCL 2, which joins GPUs, cannot be used: " + text + "; install NVIDIA's package libnccl2, or pip install nvidia-nccl-cu12" +
		" and add its folder nvidia/nccl/lib to LD_LIBRARY_PATH"
}

// NewUniqueID makes the id of a new job for Options.UniqueID: one rank makes it and hands it to all others. It names an address of
// this host, on which NCCL listens from now on.
func NewUniqueID() ([]byte, error) {
	if _, problem := NCCL(); problem != "" {
		return nil, errors.New(problem)
	}
	name := C.CString(ncclLibrary)
	defer C.free(unsafe.Pointer(name))
	var id [C.SENET_NCCL_ID]C.char
	var e C.senet_nccl_error
	if C.senet_nccl_unique_id(name, &id[0], &e) != 0 {
		return nil, ncclError(&e)
	}
	return C.GoBytes(unsafe.Pointer(&id[0]), C.SENET_NCCL_ID), nil
}

// nccl is the library with the communicator of one rank.
type nccl struct {
	native  *C.senet_nccl
	version string
}

// joinNCCL waits for all ranks of the job. It belongs on the device's thread, like issue and leave.
func joinNCCL(id []byte, rank, ranks int) (*nccl, error) {
	version, problem := NCCL()
	if problem != "" {
		return nil, errors.New(problem)
	}
	if len(id) != C.SENET_NCCL_ID {
		return nil, fmt.Errorf("the job's id has %d bytes, want %d", len(id), C.SENET_NCCL_ID)
	}
	// Sums in the switch (NVLS) differ from run to run in their last bits: NCCL's maintainers in github.com/NVIDIA/nccl/issues/1497.
	if _, set := os.LookupEnv("NCCL_NVLS_ENABLE"); !set {
		if err := os.Setenv("NCCL_NVLS_ENABLE", "0"); err != nil {
			return nil, err
		}
	}
	name := C.CString(ncclLibrary)
	defer C.free(unsafe.Pointer(name))
	n := &nccl{version: version}
	var e C.senet_nccl_error
	if C.senet_nccl_join(name, (*C.char)(unsafe.Pointer(&id[0])), C.int(ranks), C.int(rank), &n.native, &e) != 0 {
		return nil, fmt.Errorf("rank %d of %d: %w", rank, ranks, ncclError(&e))
	}
	return n, nil
}

// issue lets s do what all ranks do together with count elements of each: a sum, or where gather is set all of them one behind the other.
func (n *nccl) issue(s *stream, gather bool, t kernels.Type, from, to address, count int64) error {
	kind, types := C.SENET_NCCL_SUM, C.SENET_NCCL_F32
	if gather {
		kind = C.SENET_NCCL_GATHER
	}
	if t == kernels.BF16 {
		types = C.SENET_NCCL_BF16
	}
	var e C.senet_nccl_error
	stream := C.uint64_t(uintptr(unsafe.Pointer(s.c())))
	if C.senet_nccl_issue(n.native, C.int(kind), C.uint64_t(from), C.uint64_t(to), C.size_t(count), C.int(types), stream, &e) != 0 {
		return ncclError(&e)
	}
	return nil
}

// failed is what went wrong meanwhile, beside the calls. Any goroutine may ask.
func (n *nccl) failed() error {
	var e C.senet_nccl_error
	if C.senet_nccl_failed(n.native, &e) != 0 {
		return ncclError(&e)
	}
	return nil
}

// leave ends the communicator when all that was issued is done, here and, as far as they need this rank, on the others.
func (n *nccl) leave() error {
	var e C.senet_nccl_error
	if C.senet_nccl_leave(n.native, &e) != 0 {
		return ncclError(&e)
	}
	return nil
}

// abort ends what runs on the device at once, and returns when all recordings that have collectives are destroyed. Any goroutine
// may call it.
func (n *nccl) abort() error {
	var e C.senet_nccl_error
	if C.senet_nccl_abort(n.native, &e) != 0 {
		return ncclError(&e)
	}
	return nil
}

func ncclError(e *C.senet_nccl_error) error {
	err := errors.New("nccl: " + C.GoString(&e.text[0]))
	if e.lost != 0 {
		return fmt.Errorf("%w: %w", backend.ErrRankLost, err)
	}
	return err
}
