// Package ref is the oracle: every op of internal/graph in plain float64 loops over logical
// layouts, written from the definitions. The fused block tail in particular is computed step by
// step and not by the algebra that the fast backends use, so that it can judge them. It is slow,
// never shares a buffer between values, and lets tests look at every value:
//
//	exe, err := ref.New().Compile(program)
//	err = exe.Run(graph.Step)
//	grad := exe.(*ref.Executable).Float64(program.Grads[w])
package ref

import (
	"fmt"

	"gorgonia.org/tensor"

	"senet/internal/backend"
	"senet/internal/graph"
)

// oracle is the backend of one rank; c is nil where it is alone.
type oracle struct{ c backend.Collective }

// New opens the oracle. Its executables are of type *Executable.
func New() backend.Backend { return oracle{} }

// NewRanked opens the oracle of one rank of a job. What the ranks sum is rounded to float32, as c wants it.
func NewRanked(c backend.Collective) backend.Backend { return oracle{c} }

func (oracle) Name() string     { return "ref" }
func (oracle) Describe() string { return "ref: plain float64 loops" }
func (oracle) Close() error     { return nil }

// Compile gives each value that p touches a float64 buffer of its own.
func (b oracle) Compile(p *graph.Program) (backend.Executable, error) {
	e := &Executable{values: p.Values, buffers: make([][]float64, len(p.Values)), job: &job{c: b.c}}
	if err := backend.CheckRanks("ref", p, e.job.ranks()); err != nil {
		return nil, err
	}
	e.allocate(p.Inputs())
	for ph, nodes := range p.Phases {
		for _, n := range nodes {
			run, ok := ops[n.Op]
			if !ok {
				return nil, backend.Unsupported("ref", n)
			}
			e.allocate(n.In)
			e.allocate(n.Out)
			o := operands{node: n, in: e.lookup(n.In), out: e.lookup(n.Out), job: e.job}
			e.runs[ph] = append(e.runs[ph], func() { run(o) })
		}
	}
	e.readable = map[*graph.Value]bool{}
	for _, v := range p.Outputs() {
		e.readable[v] = true
	}
	e.memory = graph.PlanMemory(p, func(v *graph.Value) int64 { return int64(v.Shape.Elems()) * 8 })
	e.memory.Arena = e.memory.Unshared
	for i := range e.memory.Offset {
		e.memory.Offset[i] = -1 // each buffer stands alone
	}
	return e, nil
}

// operands are a node and the buffers of its operands, nil where the operand is nil.
type operands struct {
	node    *graph.Node
	in, out [][]float64
	job     *job
}

// Executable is a program on the oracle.
type Executable struct {
	values   []*graph.Value
	buffers  [][]float64                // by Value.ID, in logical order
	runs     [graph.PhaseCount][]func() // by phase
	readable map[*graph.Value]bool
	memory   graph.Memory
	job      *job
}

func (e *Executable) allocate(vs []*graph.Value) {
	for _, v := range vs {
		if v != nil && e.buffers[v.ID] == nil {
			e.buffers[v.ID] = make([]float64, v.Shape.Elems())
		}
	}
}

func (e *Executable) lookup(vs []*graph.Value) [][]float64 {
	bs := make([][]float64, len(vs))
	for i, v := range vs {
		bs[i] = e.Float64(v)
	}
	return bs
}

// Float64 is the live buffer of any value that the program touches, activations too, in
// logical order; nil for others. Writing to it is how finite differences are taken.
func (e *Executable) Float64(v *graph.Value) []float64 {
	if v == nil || v.ID >= len(e.values) || e.values[v.ID] != v {
		return nil
	}
	return e.buffers[v.ID]
}

// Run executes the nodes of ph in order. It fails only where another rank is lost.
func (e *Executable) Run(ph graph.Phase) error {
	for _, run := range e.runs[ph] {
		run()
		if e.job.err != nil {
			return fmt.Errorf("ref: %w", e.job.err)
		}
	}
	return nil
}

// Memory counts a buffer of float64 for every value: nothing is shared.
func (e *Executable) Memory() graph.Memory { return e.memory }

// Close has nothing to free.
func (e *Executable) Close() error { return nil }

// Write copies a host tensor to v.
func (e *Executable) Write(v *graph.Value, t *tensor.Dense) error {
	if err := backend.CheckHost(v, t); err != nil {
		return err
	}
	to := e.Float64(v)
	if to == nil {
		return fmt.Errorf("ref: write %q: not part of the program", v.Name)
	}
	switch from := t.Data().(type) {
	case []float32:
		convert(to, from)
	case []int32:
		convert(to, from)
	case []uint8:
		convert(to, from)
	}
	return nil
}

// Read copies v to a new host tensor, rounded to the value's type.
func (e *Executable) Read(v *graph.Value) (*tensor.Dense, error) {
	from := e.Float64(v)
	if from == nil {
		return nil, fmt.Errorf("ref: read %q: not part of the program", v.Name)
	}
	if v.Role == graph.Activation && !e.readable[v] {
		return nil, fmt.Errorf("ref: read %q: an activation that is not an output", v.Name)
	}
	t := tensor.New(tensor.WithShape(v.Shape...), tensor.Of(backend.HostType(v.DType)))
	switch to := t.Data().(type) {
	case []float32:
		convert(to, from)
	case []int32:
		convert(to, from)
	case []uint8:
		convert(to, from)
	}
	return t, nil
}

func convert[To, From float32 | float64 | int32 | uint8](to []To, from []From) {
	for i, x := range from {
		to[i] = To(x)
	}
}
