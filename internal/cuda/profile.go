package cuda

import (
	"errors"
	"slices"

	"senet/internal/backend"
	"senet/internal/graph"
)

// profile measures nodes by events on the compute stream: while there is one, phases are not replayed but issued node by node.
type profile struct {
	times [graph.PhaseCount][]backend.NodeTime // by phase
	marks []*event                             // before the first node of a phase, and after each
}

// StartProfile measures every node from now on. An error shows in the next Run.
func (e *executable) StartProfile() {
	p := &profile{}
	if e.profile != nil {
		p.marks = e.profile.marks
	}
	for ph := range e.ops {
		for _, o := range e.ops[ph] {
			var bytes int64
			for _, l := range o.plan.Launches {
				bytes += l.Bytes
			}
			p.times[ph] = append(p.times[ph], backend.NodeTime{Phase: graph.Phase(ph), Node: o.node, Bytes: bytes})
		}
	}
	e.profile = p
}

// Profile lists the times of all nodes since StartProfile.
func (e *executable) Profile() []backend.NodeTime {
	if e.profile == nil {
		return nil
	}
	return slices.Concat(e.profile.times[:]...)
}

// mark records event i, made when it is first needed.
func (e *executable) mark(i int) error {
	p := e.profile
	if i == len(p.marks) {
		m, err := e.b.device.newEvent(true)
		if err != nil {
			return err
		}
		p.marks = append(p.marks, m)
	}
	return e.b.compute.record(p.marks[i])
}

// runTimed issues a phase like issue and waits for it.
func (e *executable) runTimed(ph graph.Phase) error {
	if err := e.mark(0); err != nil {
		return err
	}
	for i, o := range e.ops[ph] {
		if err := e.launchAll(o); err != nil {
			return err
		}
		if travels(o.node) { // waited for at once, so that its time is its own
			if err := e.b.compute.wait(o.done); err != nil {
				return err
			}
		}
		if err := e.mark(i + 1); err != nil {
			return err
		}
	}
	p := e.profile
	if err := p.marks[len(e.ops[ph])].sync(); err != nil {
		return err
	}
	for i := range e.ops[ph] {
		took, err := p.marks[i+1].since(p.marks[i])
		if err != nil {
			return err
		}
		p.times[ph][i].Runs++
		p.times[ph][i].Total += took
	}
	return nil
}

func (p *profile) free() error {
	var errs []error
	for _, m := range p.marks {
		errs = append(errs, m.destroy())
	}
	return errors.Join(errs...)
}
