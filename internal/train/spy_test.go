package train

import (
	"errors"
	"testing"

	"gorgonia.org/tensor"

	"senet/internal/backend"
	"senet/internal/graph"
)

// call is one call of a backend or of one of its executables.
type call struct {
	name    string // "compile", "write", "run", "read" or "close"
	program *graph.Program
	exe     backend.Executable // the one spied on; nil for compile
	step    int                // the training step whose count was written last, from 1; 0 before the first
	phase   graph.Phase        // of run
	value   *graph.Value       // of write and read
	host    *tensor.Dense      // of write
}

// training reports whether the call is about the training program, not the evaluation's.
func (c call) training() bool { return c.program.Grads != nil }

// spy is a backend that counts its executables and can spoil what they do. Its networks must have dropout, which
// is what the step count is written for.
type spy struct {
	backend.Backend
	fault          func(call) error          // sees each call before it is made; an error is returned instead of making it
	alter          func(call, *tensor.Dense) // sees, and may change, what Read returns
	opened, closed int                       // executables
	step           int                       // as in call
}

// newSpy spies on a backend of the CPU. At the test's end no executable may be open.
func newSpy(t *testing.T) *spy {
	t.Helper()
	s := &spy{Backend: openCPU(t, 1), fault: func(call) error { return nil }, alter: func(call, *tensor.Dense) {}}
	t.Cleanup(func() {
		if s.closed != s.opened {
			t.Errorf("%d executables were opened and %d closed", s.opened, s.closed)
		}
	})
	return s
}

func (s *spy) Compile(p *graph.Program) (backend.Executable, error) {
	if err := s.fault(call{name: "compile", program: p, step: s.step}); err != nil {
		return nil, err
	}
	exe, err := s.Backend.Compile(p)
	if err != nil {
		return nil, err
	}
	s.opened++
	return &spied{exe, s, p}, nil
}

// spied is an executable of a spy.
type spied struct {
	backend.Executable
	spy     *spy
	program *graph.Program
}

func (e *spied) call(name string) call {
	return call{name: name, program: e.program, exe: e.Executable, step: e.spy.step}
}

func (e *spied) Write(v *graph.Value, t *tensor.Dense) error {
	c := e.call("write")
	c.value, c.host = v, t
	if err := e.spy.fault(c); err != nil {
		return err
	}
	if v == e.program.StepCount {
		e.spy.step = int(t.Data().([]int32)[0]) + 1
	}
	return e.Executable.Write(v, t)
}

func (e *spied) Run(ph graph.Phase) error {
	c := e.call("run")
	c.phase = ph
	if err := e.spy.fault(c); err != nil {
		return err
	}
	return e.Executable.Run(ph)
}

func (e *spied) Read(v *graph.Value) (*tensor.Dense, error) {
	c := e.call("read")
	c.value = v
	if err := e.spy.fault(c); err != nil {
		return nil, err
	}
	t, err := e.Executable.Read(v)
	if err == nil {
		e.spy.alter(c, t)
	}
	return t, err
}

// Close closes in any case; a fault is an error on top.
func (e *spied) Close() error {
	e.spy.closed++
	return errors.Join(e.spy.fault(e.call("close")), e.Executable.Close())
}
