package cuda

import (
	"errors"
	"fmt"
	"iter"
	"unsafe"

	"senet/internal/backend"
	"senet/internal/graph"
	"senet/internal/kernels"
)

// executable is a compiled program: one block of device memory, and the launches of each phase.
type executable struct {
	b       *Backend
	p       *graph.Program
	planner *kernels.Planner
	memory  graph.Memory
	block   address
	address []address                // by Value.ID; 0 where a value has no place
	copies  map[*graph.Value]address // of weights in the type of maps
	ops     [graph.PhaseCount][]*op  // by phase
	inputs  []*input
	bounce  *pinned // through which other values come and go
	// A phase runs directly the first time, while libraries load what they need, and is captured the second time. The first run
	// is not part of a profile.
	ran        [graph.PhaseCount]bool
	recordings [graph.PhaseCount]*recording
	awaited    [graph.PhaseCount][][]int // by phase and position: ops whose sums must have come in
	profile    *profile                  // nil without one
	freed      bool
}

// op is a planned node.
type op struct {
	node     *graph.Node
	conv     *convolution // nil, or what cuDNN runs before the launches
	plan     kernels.Plan
	launches []launch
	done     *event // the sums of an all_reduce have come in; nil for others
}

// launch is a kernel with its arguments resolved, or what the ranks do in its place.
type launch struct {
	collective  *collective
	f           *function
	grid, block [3]int
	shared      int
	args        []unsafe.Pointer
}

// compile runs on the device's thread. library says whether cuDNN may run convolutions.
func compile(b *Backend, p *graph.Program, library bool) (_ *executable, err error) {
	e := &executable{
		b: b, p: p, copies: map[*graph.Value]address{},
		planner: kernels.NewPlanner(p, b.precision, kernels.Device{Compute: b.device.compute, SMs: b.device.sms}),
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, e.release())
		}
	}()
	for ph := range p.Phases {
		nodes := kernels.Grouped(p.Phases[ph])
		for _, n := range nodes {
			e.ops[ph] = append(e.ops[ph], &op{node: n})
		}
		e.awaited[ph] = graph.Awaited(nodes, travels)
	}
	if library {
		if err := e.planConvolutions(); err != nil {
			return nil, err
		}
	}
	for o := range e.all() {
		if o.conv != nil {
			o.plan = o.conv.nodePlan()
			continue
		}
		if o.plan, err = e.planner.Plan(o.node); err != nil {
			return nil, err
		}
	}
	return e, e.place()
}

// all yields the ops of all phases.
func (e *executable) all() iter.Seq[*op] {
	return func(yield func(*op) bool) {
		for _, ops := range e.ops {
			for _, o := range ops {
				if !yield(o) {
					return
				}
			}
		}
	}
}

// planConvolutions finds those that cuDNN runs. Where there is no gate, their bias is read in the type of maps.
func (e *executable) planConvolutions() (err error) {
	for o := range e.all() {
		if o.conv, err = e.b.planned(o.node); err != nil {
			return err
		}
		if o.conv != nil && o.conv.bias != nil && o.conv.pattern.biasType != kernels.F32 {
			e.planner.Copy(o.conv.bias)
		}
	}
	return nil
}

// launchAll issues what o consists of.
func (e *executable) launchAll(o *op) error {
	if o.conv != nil {
		if err := o.conv.run.run(); err != nil {
			return fmt.Errorf("%s %q: %w", o.node.Op, o.node.Name, err)
		}
	}
	s := e.b.compute
	for i, l := range o.launches {
		var err error
		switch {
		case l.collective == nil:
			err = l.f.launch(s, l.grid, l.block, l.shared, l.args)
		case travels(o.node):
			err = e.b.job.issue(s, l.collective)
			s = e.b.job.stream
		default:
			err = e.b.job.meet(s, l.collective)
		}
		if err != nil && l.collective == nil {
			err = fmt.Errorf("kernel %s: %w", o.plan.Launches[i].Kernel, err)
		}
		if err != nil {
			return fmt.Errorf("%s %q: %w", o.node.Op, o.node.Name, err)
		}
	}
	if o.done != nil {
		return s.record(o.done)
	}
	return nil
}

// Run issues the nodes of a phase and returns before the device is done: Read waits for it.
func (e *executable) Run(ph graph.Phase) error {
	if len(e.ops[ph]) == 0 {
		return nil
	}
	return e.do("run", func() error {
		if err := e.commit(ph); err != nil {
			return err
		}
		switch {
		case !e.ran[ph]:
			e.ran[ph] = true
			return e.issue(ph)
		case e.profile != nil:
			return e.runTimed(ph)
		case e.recordings[ph] == nil:
			r, err := e.b.compute.capture(func() error { return e.issue(ph) })
			if err != nil {
				return err
			}
			e.recordings[ph] = r
		}
		return e.recordings[ph].launch(e.b.compute)
	})
}

// issue issues the nodes of a phase, and waits on the compute stream for sums as late as it may.
func (e *executable) issue(ph graph.Phase) error {
	for i, o := range e.ops[ph] {
		if err := e.await(ph, i); err != nil {
			return err
		}
		if err := e.launchAll(o); err != nil {
			return err
		}
	}
	return e.await(ph, len(e.ops[ph]))
}

// do is onThread for what needs the other ranks, if there are any, and what comes from the device. Where one is lost, f waits in
// vain until the watch ends what is on the device, and its results are nothing.
func (e *executable) do(what string, f func() error) error {
	return e.onThread(what, func() error {
		if err := e.b.ranksLost(); err != nil {
			return err
		}
		err := f()
		if lost := e.b.ranksLost(); lost != nil {
			return errors.Join(lost, err)
		}
		return err
	})
}

// onThread runs f on the device's thread and says where an error comes from.
func (e *executable) onThread(what string, f func() error) error {
	err := e.b.device.do(func() error {
		if e.freed {
			return errors.New("the executable is closed")
		}
		return f()
	})
	if err != nil {
		return fmt.Errorf("%s: %s: %w", e.b.Name(), what, err)
	}
	return nil
}

// Memory tells where the bytes went.
func (e *executable) Memory() graph.Memory { return e.memory }

// Close waits for the device and frees the memory.
func (e *executable) Close() error { return e.onThread("close", e.release) }

func (e *executable) release() error {
	e.freed = true
	errs := []error{e.b.compute.sync(), e.b.uploads.sync()}
	if e.b.job != nil {
		errs = append(errs, e.b.job.stream.sync())
	}
	for ph := range e.ops {
		if r := e.recordings[ph]; r != nil {
			errs = append(errs, r.destroy())
		}
	}
	for o := range e.all() {
		if o.conv != nil && o.conv.run != nil {
			o.conv.run.free()
		}
		if o.done != nil {
			errs = append(errs, o.done.destroy())
		}
	}
	for _, in := range e.inputs {
		errs = append(errs, in.free())
	}
	if e.profile != nil {
		errs = append(errs, e.profile.free())
	}
	if e.bounce != nil {
		errs = append(errs, e.bounce.free())
	}
	if e.block != 0 {
		errs = append(errs, e.b.device.release(e.block))
	}
	return errors.Join(errs...)
}

var (
	_ backend.Backend  = (*Backend)(nil)
	_ backend.Profiler = (*executable)(nil)
)
