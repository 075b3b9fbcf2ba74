package cpu

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// thread runs every native call of a backend on one OS thread: libgomp keeps a pool of
// workers per calling thread, and a second pool would share the cores with idle spinning workers.
type thread struct {
	jobs chan job
}

type job struct {
	f    func() error
	done chan error
}

func newThread() *thread {
	t := &thread{jobs: make(chan job)}
	go t.loop()
	return t
}

func (t *thread) loop() {
	runtime.LockOSThread() // never unlocked: the OS thread ends with the goroutine
	for j := range t.jobs {
		j.done <- protect(j.f)
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
	t.jobs <- job{f, done}
	return <-done
}

func (t *thread) close() { close(t.jobs) }
