package cpu

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
)

// thread runs every native call of a backend on one OS thread: libgomp keeps a pool of
// workers per calling thread, and a second pool would share the cores with idle spinning workers.
type thread struct {
	jobs   chan job
	closed chan struct{}
	once   sync.Once
}

type job struct {
	f    func() error
	done chan error
}

var errClosed = errors.New("cpu: the backend is closed")

func newThread() *thread {
	t := &thread{jobs: make(chan job), closed: make(chan struct{})}
	go t.loop()
	return t
}

func (t *thread) loop() {
	runtime.LockOSThread() // never unlocked: the OS thread, and its pool, end with the goroutine
	for {
		select {
		case j := <-t.jobs:
			j.done <- protect(j.f)
		case <-t.closed:
			return
		}
	}
}

// protect turns a panic of f into an error that carries its stack.
func protect(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("cpu: panic: %v\n%s", r, debug.Stack())
		}
	}()
	return f()
}

// do runs f on the thread and waits for it.
func (t *thread) do(f func() error) error {
	done := make(chan error, 1)
	select {
	case t.jobs <- job{f, done}:
		return <-done
	case <-t.closed:
		return errClosed
	}
}

// close ends the thread once the job it is at is done; later jobs fail.
func (t *thread) close() { t.once.Do(func() { close(t.closed) }) }
