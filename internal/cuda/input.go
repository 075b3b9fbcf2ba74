package cuda

import (
	"errors"
	"slices"

	"gorgonia.org/tensor"

	"senet/internal/graph"
)

// input is a value that the host writes for each step. What is written goes through pinned memory to a second
// buffer on the device, while the step before still reads the first, and is moved there when the next phase that reads it runs.
type input struct {
	v        *graph.Value
	host     *pinned
	next     address
	uploaded *event                 // next is filled, and host free again
	moved    *event                 // next is free again
	pending  bool                   // next holds what was written last
	read     [graph.PhaseCount]bool // by the nodes of a phase
}

func (e *executable) addInput(v *graph.Value, next address) (err error) {
	in := &input{v: v, next: next}
	for ph, ops := range e.ops {
		in.read[ph] = slices.ContainsFunc(ops, func(o *op) bool { return slices.Contains(o.node.In, v) })
	}
	e.inputs = append(e.inputs, in)
	if in.host, err = e.b.device.allocPinned(e.planner.Bytes(v)); err != nil {
		return err
	}
	if in.uploaded, err = e.b.device.newEvent(false); err != nil {
		return err
	}
	in.moved, err = e.b.device.newEvent(false)
	return err
}

// writeInput starts the upload of t.
func (e *executable) writeInput(in *input, t *tensor.Dense) error {
	if err := in.uploaded.sync(); err != nil {
		return err
	}
	data := in.host.bytes[:e.planner.Bytes(in.v)]
	e.toDevice(in.v, data, t)
	s := e.b.uploads
	if err := s.wait(in.moved); err != nil {
		return err
	}
	if err := s.upload(in.next, data); err != nil {
		return err
	}
	in.pending = true
	return s.record(in.uploaded)
}

// commit moves what was written to the inputs that phase ph reads to where its nodes read it.
func (e *executable) commit(ph graph.Phase) error {
	for _, in := range e.inputs {
		if !in.pending || !in.read[ph] {
			continue
		}
		s := e.b.compute
		if err := s.wait(in.uploaded); err != nil {
			return err
		}
		if err := s.copy(e.address[in.v.ID], in.next, e.planner.Bytes(in.v)); err != nil {
			return err
		}
		if err := s.record(in.moved); err != nil {
			return err
		}
		in.pending = false
	}
	return nil
}

func (e *executable) inputOf(v *graph.Value) *input {
	for _, in := range e.inputs {
		if in.v == v {
			return in
		}
	}
	return nil
}

func (in *input) free() error {
	var errs []error
	for _, ev := range []*event{in.uploaded, in.moved} {
		if ev != nil {
			errs = append(errs, ev.destroy())
		}
	}
	if in.host != nil {
		errs = append(errs, in.host.free())
	}
	return errors.Join(errs...)
}
