package train

import (
	"errors"
	"fmt"

	"gorgonia.org/tensor"

	"senet/internal/backend"
	"senet/internal/data"
	"senet/internal/graph"
	"senet/internal/weights"
)

// Compiled is a network compiled on a backend: a program with its memory.
type Compiled struct {
	Program *graph.Program
	backend.Executable
}

// Open compiles p on b.
func Open(b backend.Backend, p *graph.Program) (*Compiled, error) {
	exe, err := b.Compile(p)
	if err != nil {
		return nil, fmt.Errorf("compile on %s: %w", b.Name(), err)
	}
	return &Compiled{Program: p, Executable: exe}, nil
}

// scalar reads a (1) float32 value.
func (c *Compiled) scalar(v *graph.Value) (float64, error) {
	t, err := c.Read(v)
	if err != nil {
		return 0, err
	}
	return float64(t.Data().([]float32)[0]), nil
}

// counts reads the step's Correct: labelled rows, top-1 and top-5 hits.
func (c *Compiled) counts() (n, top1, top5 int, err error) {
	t, err := c.Read(c.Program.Correct)
	if err != nil {
		return 0, 0, 0, err
	}
	hits := t.Data().([]int32)
	return int(hits[0]), int(hits[1]), int(hits[2]), nil
}

// feed writes a batch's images and labels.
func (c *Compiled) feed(b *data.Batch) error {
	if err := c.Write(c.Program.Image, b.Images); err != nil {
		return err
	}
	return c.Write(c.Program.Labels, b.Labels)
}

// Initialize draws every parameter and state from seed. Moving averages start as what they are of.
func (c *Compiled) Initialize(seed uint64) error {
	if err := backend.Initialize(c, c.Program, seed); err != nil {
		return err
	}
	for v, average := range c.Program.EMA {
		t, err := c.Read(v)
		if err != nil {
			return err
		}
		if err := c.Write(average, t); err != nil {
			return err
		}
	}
	return nil
}

// Tensors is a set of host tensors by state-dict name.
type Tensors map[string]*tensor.Dense

// Get reads the named kind of values: those of vs.
func (c *Compiled) Get(vs []*graph.Value) (Tensors, error) {
	ts := Tensors{}
	for _, v := range vs {
		t, err := c.Read(v)
		if err != nil {
			return nil, fmt.Errorf("read %q: %w", v.Name, err)
		}
		ts[v.Name] = t
	}
	return ts, nil
}

// Set writes each of vs from ts. Missing, extra and wrongly shaped tensors are all listed in
// the error, and then nothing is written.
func (c *Compiled) Set(vs []*graph.Value, ts Tensors) error {
	if problems := weights.Differences(ts, vs); len(problems) > 0 {
		return errors.Join(problems...)
	}
	for _, v := range vs {
		if err := c.Write(v, ts[v.Name]); err != nil {
			return err
		}
	}
	return nil
}

// ModelValues are the parameters and running statistics of the graph in the order they were
// declared: what a model file holds.
func (c *Compiled) ModelValues() []*graph.Value {
	derived := map[*graph.Value]bool{}
	for _, v := range c.Program.OptimizerStates {
		derived[v] = true
	}
	for _, v := range c.Program.EMA {
		derived[v] = true
	}
	for _, n := range c.Program.Phases[graph.Prepare] {
		for _, v := range n.Out {
			derived[v] = true
		}
	}
	var vs []*graph.Value
	for _, v := range c.Program.Values {
		if (v.Role == graph.Param || v.Role == graph.State) && !derived[v] {
			vs = append(vs, v)
		}
	}
	return vs
}
