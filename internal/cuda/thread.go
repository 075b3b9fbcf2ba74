package cuda

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"

	"senet/internal/backend"
)

// thread is one goroutine on one OS thread, to which the driver's current context belongs.
type thread struct {
	mu     sync.Mutex // holds one call at a time; guards closed and lost
	work   chan func() error
	done   chan error
	closed bool
	lost   error // the first error after which the device computes nothing more
}

func newThread() *thread {
	t := &thread{work: make(chan func() error), done: make(chan error)}
	go func() {
		runtime.LockOSThread() // never unlocked: the OS thread, with the context bound to it, ends with the goroutine
		for f := range t.work {
			t.done <- protect(f)
		}
	}()
	return t
}

// do runs f on the thread and returns its error. It must not be called within f.
func (t *thread) do(f func() error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return errors.New("cuda: the device is closed")
	}
	if t.lost != nil {
		return fmt.Errorf("cuda: nothing runs since an earlier error: %w", t.lost)
	}
	t.work <- f
	err := <-t.done
	if errors.Is(err, backend.ErrDeviceLost) {
		t.lost = err
	}
	return err
}

// end runs the last f, also on a lost device, whose error it then drops: it was reported.
func (t *thread) end(f func() error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil
	}
	t.closed = true
	t.work <- f
	err := <-t.done
	close(t.work)
	if t.lost != nil {
		return nil
	}
	return err
}

// protect turns a panic of f into an error, since no panic may leave the package.
func protect(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("cuda: panic on the device's thread: %v\n%s", r, debug.Stack())
		}
	}()
	return f()
}
