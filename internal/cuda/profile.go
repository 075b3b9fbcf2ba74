package cuda

import (
	"errors"
	"slices"

	"senet/internal/backend"
	"senet/internal/graph"
)

// profile measures nodes by events between them in a recording of its own for each phase: issued one by one, short kernels
// would seem to take the time that the host needs for each.
type profile struct {
	times      [graph.PhaseCount][]backend.NodeTime // by phase
	marks      []*event                             // before the first node of a phase, and after each
	recordings [graph.PhaseCount]*recording
}

// StartProfile measures every node from now on. An error shows in the next Run.
func (e *executable) StartProfile() {
	p := &profile{}
	if e.profile != nil {
		p.marks, p.recordings = e.profile.marks, e.profile.recordings
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

// mark records event i, each time that the recording runs.
func (e *executable) mark(i int) error {
	p := e.profile
	if i == len(p.marks) {
		m, err := e.b.device.newEvent(true)
		if err != nil {
			return err
		}
		p.marks = append(p.marks, m)
	}
	return e.b.compute.recordEachTime(p.marks[i])
}

// issueMarked issues a phase like issue, with marks.
func (e *executable) issueMarked(ph graph.Phase) error {
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
	return nil
}

// runTimed runs a phase that ran before, and waits for it.
func (e *executable) runTimed(ph graph.Phase) (err error) {
	p := e.profile
	if p.recordings[ph] == nil {
		if p.recordings[ph], err = e.b.compute.capture(func() error { return e.issueMarked(ph) }); err != nil {
			return err
		}
	}
	if err := errors.Join(p.recordings[ph].launch(e.b.compute), e.b.compute.sync()); err != nil {
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
	for _, r := range p.recordings {
		if r != nil {
			errs = append(errs, r.destroy())
		}
	}
	for _, m := range p.marks {
		errs = append(errs, m.destroy())
	}
	return errors.Join(errs...)
}
