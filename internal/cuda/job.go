package cuda

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"senet/internal/kernels"
)

const (
	watchPeriod = 100 * time.Millisecond // between two looks at whether the other ranks can be reached
	leaveLimit  = 30 * time.Second       // to end a communicator: other ranks may be late, or gone
)

// job is this rank's part in a job of several. Collectives run on a stream of their own, one behind the other in the order in
// which they are issued, which is the same on all ranks: NCCL would deadlock if two crossed.
type job struct {
	nccl        *nccl
	rank, ranks int
	stream      *stream
	ready       *event // the compute stream has what the next collective takes
	arrived     *event // a collective that is waited for at once is done
	mu          sync.Mutex
	lost        error         // why the others cannot be reached any more
	stop        chan struct{} // closed to end the watch
	watched     chan struct{} // closed at the watch's end
}

// join runs on the device's thread.
func (d *device) join(o Options) (_ *job, err error) {
	j := &job{rank: o.Rank, ranks: o.Ranks, stop: make(chan struct{}), watched: make(chan struct{})}
	defer func() {
		if err != nil {
			err = errors.Join(err, j.free())
		}
	}()
	if j.stream, err = d.newStream(); err != nil {
		return nil, err
	}
	if j.ready, err = d.newEvent(false); err != nil {
		return nil, err
	}
	if j.arrived, err = d.newEvent(false); err != nil {
		return nil, err
	}
	if j.nccl, err = joinNCCL(o.UniqueID, o.Rank, o.Ranks); err != nil {
		return nil, err
	}
	go j.watch()
	return j, nil
}

// watch looks after the other ranks. When one is lost, the collectives that wait for it are ended: then whoever waits for the
// device goes on, and finds out by check.
func (j *job) watch() {
	defer close(j.watched)
	tick := time.NewTicker(watchPeriod)
	defer tick.Stop()
	for {
		select {
		case <-j.stop:
			return
		case <-tick.C:
		}
		if err := j.nccl.failed(); err != nil {
			j.lose(err)
		}
		if j.check() != nil {
			_ = j.nccl.abort() // what was lost is said already
			return
		}
	}
}

// lose notes the first reason.
func (j *job) lose(err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.lost == nil {
		j.lost = err
	}
}

// check returns the error after which nothing that comes from the device is to be trusted.
func (j *job) check() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.lost
}

// collective is a kernels.Collective with its addresses resolved.
type collective struct {
	gather   bool
	t        kernels.Type
	from, to address
	count    int64
}

// issue starts c behind all work issued to compute so far.
func (j *job) issue(compute *stream, c *collective) error {
	if err := j.check(); err != nil {
		return err
	}
	if err := compute.record(j.ready); err != nil {
		return err
	}
	if err := j.stream.wait(j.ready); err != nil {
		return err
	}
	err := j.nccl.issue(j.stream, c.gather, c.t, c.from, c.to, c.count)
	if err != nil {
		j.lose(err)
	}
	return err
}

// meet is issue, after which compute waits for the others.
func (j *job) meet(compute *stream, c *collective) error {
	if err := j.issue(compute, c); err != nil {
		return err
	}
	if err := j.stream.record(j.arrived); err != nil {
		return err
	}
	return compute.wait(j.arrived)
}

// leave ends the job's communicator within a bounded time. All executables have been closed.
func (j *job) leave() error {
	close(j.stop)
	ended := make(chan error, 1)
	go func() {
		<-j.watched
		if j.check() != nil { // then the watch aborted
			ended <- nil
			return
		}
		ended <- j.nccl.leave()
	}()
	select {
	case err := <-ended:
		return errors.Join(err, j.free())
	case <-time.After(leaveLimit):
		return fmt.Errorf("cuda: the communicator of rank %d did not end within %v", j.rank, leaveLimit)
	}
}

// free frees what is the device's.
func (j *job) free() error {
	var errs []error
	for _, e := range []*event{j.ready, j.arrived} {
		if e != nil {
			errs = append(errs, e.destroy())
		}
	}
	if j.stream != nil {
		errs = append(errs, j.stream.destroy())
	}
	return errors.Join(errs...)
}
