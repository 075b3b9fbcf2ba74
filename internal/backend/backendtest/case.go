package backendtest

import (
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"

	"senet/internal/graph"
)

// The phases of a case: an op runs in the first, its gradient in the second.
const (
	forward  = graph.Prepare
	gradient = graph.Step
)

// testCase is a program of one op, or of an op and its gradient, with the data of its inputs.
type testCase struct {
	p         *graph.Program
	random    *rand.Rand
	data      map[*graph.Value]any     // []float32, []int32 or []uint8 of each input
	maps      map[*graph.Value]bool    // operands that are activations in a real program
	magnitude map[*graph.Value]float64 // of outputs that are small differences of large terms, see bound
	nan       bool                     // outputs may be NaN where the oracle's are

	// For finite differences: the scalar sum(weight * out) over losses, and what the gradient nodes say of it.
	losses    []weighted
	gradients []derivative
}

// weighted is an output of the forward op and the gradient that comes in for it; a nil weight is 1.
type weighted struct{ out, weight *graph.Value }

// derivative is an input of the forward op and its gradient.
type derivative struct{ in, grad *graph.Value }

// newCase starts a case whose data depend on its name alone.
func newCase(name string) *testCase {
	h := fnv.New64a()
	h.Write([]byte(name))
	return &testCase{
		p:         &graph.Program{},
		random:    rand.New(rand.NewPCG(1, h.Sum64())),
		data:      map[*graph.Value]any{},
		maps:      map[*graph.Value]bool{},
		magnitude: map[*graph.Value]float64{},
	}
}

// value declares an operand of any kind.
func (c *testCase) value(name string, d graph.DType, s graph.Shape) *graph.Value {
	v := &graph.Value{ID: len(c.p.Values), Name: name, Shape: s, DType: d, Role: graph.State}
	c.p.Values = append(c.p.Values, v)
	return v
}

// out declares a float32 output that is not an activation in a real program, or that only the gradient reads.
func (c *testCase) out(name string, s ...int) *graph.Value { return c.value(name, graph.Float32, s) }

// mapOut declares a float32 output that is an activation.
func (c *testCase) mapOut(name string, s ...int) *graph.Value { return c.asMap(c.out(name, s...)) }

func (c *testCase) asMap(v *graph.Value) *graph.Value {
	c.maps[v] = true
	return v
}

// filled declares an input with its data.
func (c *testCase) filled(name string, data any, s ...int) *graph.Value {
	types := graph.Float32
	switch data.(type) {
	case []int32:
		types = graph.Int32
	case []uint8:
		types = graph.Uint8
	}
	v := c.value(name, types, s)
	c.data[v] = data
	return v
}

// normal declares a float32 input drawn from a normal distribution.
func (c *testCase) normal(name string, mean, std float64, s ...int) *graph.Value {
	x := make([]float32, graph.Shape(s).Elems())
	for i := range x {
		x[i] = float32(mean + std*c.random.NormFloat64())
	}
	return c.filled(name, x, s...)
}

// mapIn declares a standard normal input that is an activation.
func (c *testCase) mapIn(name string, s ...int) *graph.Value {
	return c.asMap(c.normal(name, 0, 1, s...))
}

// positive declares a float32 input in (0.1, 2), e.g. a variance.
func (c *testCase) positive(name string, s ...int) *graph.Value {
	v := c.normal(name, 0, 0, s...)
	x := c.data[v].([]float32)
	for i := range x {
		x[i] = float32(0.1 + 1.9*c.random.Float64())
	}
	return v
}

// rounded makes the data of v multiples of step, so that equal ones occur.
func (c *testCase) rounded(v *graph.Value, step float32) *graph.Value {
	x := c.data[v].([]float32)
	for i := range x {
		x[i] = float32(int(x[i]/step)) * step
	}
	return v
}

// round rounds the data of every float32 input by f; nil leaves them, as it does what f makes infinite.
func (c *testCase) round(f func(float32) float32) {
	if f == nil {
		return
	}
	for _, data := range c.data {
		if x, ok := data.([]float32); ok {
			for i := range x {
				if y := f(x[i]); !math.IsInf(float64(y), 0) {
					x[i] = y
				}
			}
		}
	}
}

func (c *testCase) node(ph graph.Phase, op graph.Op, attr any, in, out []*graph.Value) *graph.Node {
	n := &graph.Node{Op: op, Name: string(op), Attr: attr, In: in, Out: out}
	c.p.Phases[ph] = append(c.p.Phases[ph], n)
	return n
}

// loss adds an output to the scalar that finite differences are taken of.
func (c *testCase) loss(out, weight *graph.Value) {
	c.losses = append(c.losses, weighted{out, weight})
}

// derivatives adds an input and its gradient for each pair that has one.
func (c *testCase) derivatives(in, grad []*graph.Value) {
	for i, g := range grad {
		if g != nil {
			c.gradients = append(c.gradients, derivative{in[i], g})
		}
	}
}

// inputs lists the values with data in the order they were declared.
func (c *testCase) inputs() []*graph.Value {
	var vs []*graph.Value
	for _, v := range c.p.Values {
		if c.data[v] != nil {
			vs = append(vs, v)
		}
	}
	return vs
}

// throughArena is c's program with each map copied to an activation before the node that
// reads it, and from one after the node that writes it. Copies add zeros, which States start as.
func (c *testCase) throughArena() *graph.Program {
	p := &graph.Program{Values: slices.Clone(c.p.Values)}
	add := func(v graph.Value) *graph.Value {
		v.ID = len(p.Values)
		p.Values = append(p.Values, &v)
		return &v
	}
	activation := func(v *graph.Value) *graph.Value {
		return add(graph.Value{Name: v.Name + " activation", Shape: v.Shape})
	}
	for ph, nodes := range c.p.Phases {
		emit := func(n *graph.Node) { p.Phases[ph] = append(p.Phases[ph], n) }
		copied := func(from, to *graph.Value) {
			zero := add(graph.Value{Name: "zero", Shape: from.Shape, Role: graph.State})
			emit(&graph.Node{Op: graph.Add, Name: "copy", In: []*graph.Value{from, zero}, Out: []*graph.Value{to}})
		}
		for _, n := range nodes {
			inner := *n
			inner.In, inner.Out = slices.Clone(n.In), slices.Clone(n.Out)
			for i, v := range n.In {
				if c.maps[v] {
					inner.In[i] = activation(v)
					copied(v, inner.In[i])
				}
			}
			emit(&inner)
			for i, v := range n.Out {
				if c.maps[v] {
					inner.Out[i] = activation(v)
					copied(inner.Out[i], v)
				}
			}
		}
	}
	return p
}
