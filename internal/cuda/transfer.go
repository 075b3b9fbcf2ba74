package cuda

import (
	"errors"
	"fmt"

	"gorgonia.org/tensor"

	"senet/internal/backend"
	"senet/internal/graph"
	"senet/internal/kernels"
)

// bounceBytes is the pinned memory that values other than inputs pass through, piece by piece.
const bounceBytes = 4 << 20

// Write copies a host tensor in logical order to v. Inputs are uploaded while the device goes on.
func (e *executable) Write(v *graph.Value, t *tensor.Dense) error {
	if err := backend.CheckHost(v, t); err != nil {
		return fmt.Errorf("%s: %w", e.b.Name(), err)
	}
	return e.do(fmt.Sprintf("write %q", v.Name), func() error {
		if err := e.hosted(v); err != nil {
			return err
		}
		if in := e.inputOf(v); in != nil {
			return e.writeInput(in, t)
		}
		data := make([]byte, e.planner.Bytes(v))
		e.toDevice(v, data, t)
		if err := e.send(e.address[v.ID], data); err != nil {
			return err
		}
		if e.planner.Copied(v) {
			return e.refresh(v)
		}
		return nil
	})
}

// Read waits for the device and copies v to a new host tensor in logical order.
func (e *executable) Read(v *graph.Value) (*tensor.Dense, error) {
	t := tensor.New(tensor.WithShape(v.Shape...), tensor.Of(backend.HostType(v.DType)))
	err := e.do(fmt.Sprintf("read %q", v.Name), func() error {
		if err := e.hosted(v); err != nil {
			return err
		}
		data := make([]byte, e.planner.Bytes(v))
		if err := e.receive(data, e.address[v.ID]); err != nil {
			return err
		}
		e.toHost(v, t, data)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return t, nil
}

// hosted verifies that v is one of the program's values and has a place.
func (e *executable) hosted(v *graph.Value) error {
	if v.ID >= len(e.p.Values) || e.p.Values[v.ID] != v || e.address[v.ID] == 0 {
		return errors.New("not part of the program")
	}
	return nil
}

// send copies data to the device behind all work issued before, and waits for it.
func (e *executable) send(to address, data []byte) error {
	for len(data) > 0 {
		n := copy(e.bounce.bytes, data)
		if err := e.b.compute.upload(to, e.bounce.bytes[:n]); err != nil {
			return err
		}
		if err := e.b.compute.sync(); err != nil {
			return err
		}
		data, to = data[n:], to+address(n)
	}
	return nil
}

// receive copies from the device behind all work issued before.
func (e *executable) receive(data []byte, from address) error {
	for len(data) > 0 {
		n := min(len(data), len(e.bounce.bytes))
		if err := e.b.compute.download(e.bounce.bytes[:n], from); err != nil {
			return err
		}
		if err := e.b.compute.sync(); err != nil {
			return err
		}
		copy(data, e.bounce.bytes[:n])
		data, from = data[n:], from+address(n)
	}
	return nil
}

// refresh brings the copy of weight v, in the type of maps, up to date.
func (e *executable) refresh(v *graph.Value) error {
	return e.launch(kernels.Cast(v, e.planner.Precision.Map()))
}

// launch issues a kernel that is part of no phase, and has neither workspace nor tables.
func (e *executable) launch(l kernels.Launch) error {
	b := &binder{e: e}
	bound, err := b.launch(l)
	if err != nil {
		return err
	}
	return bound.f.launch(e.b.compute, bound.grid, bound.block, bound.shared, bound.args)
}
