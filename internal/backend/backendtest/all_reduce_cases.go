package backendtest

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"senet/internal/backend"
	"senet/internal/graph"
)

// reduction is a case of all_reduce: a program that all ranks run, each with data of its own.
type reduction struct {
	name  string
	half  bool
	build func(c *reduced)
}

// reduced is a reduction of one rank.
type reduced struct {
	*testCase
	attr  graph.AllReduceAttr
	rank  int
	parts []part
}

// part is what a rank adds to a value that becomes the mean over ranks.
type part struct {
	out  *graph.Value
	mine []float64
}

func (d reduction) of(ranks, rank int) *reduced {
	c := &reduced{testCase: newCase(fmt.Sprint(d.name, " of rank ", rank)), attr: graph.AllReduceAttr{Ranks: ranks, Half: d.half}, rank: rank}
	d.build(c)
	return c
}

// reduce adds an all_reduce of in. Where inPlace is not wanted, each has an output of its own.
func (c *reduced) reduce(ph graph.Phase, inPlace bool, in ...*graph.Value) {
	out := in
	if !inPlace {
		out = nil
		for _, v := range in {
			mean := c.out("mean "+v.Name, v.Shape...)
			c.maps[mean] = c.maps[v]
			out = append(out, mean)
		}
	}
	c.node(ph, graph.AllReduce, c.attr, in, out)
	for i, v := range in {
		c.magnitude[out[i]] = c.magnitude[v]
		c.parts = append(c.parts, part{out[i], float64s(slices.Clone(c.data[v].([]float32)))})
	}
}

func (c *reduced) draw(std float64, shapes ...graph.Shape) []*graph.Value {
	var vs []*graph.Value
	for i, s := range shapes {
		v := c.normal(fmt.Sprint("value ", i), 0, std, s...)
		if len(s) < 4 { // else it is a weight, which an add would take for a feature map
			c.asMap(v)
		}
		c.magnitude[v] = std
		vs = append(vs, v)
	}
	return vs
}

func allReduceCases() []reduction {
	return []reduction{
		{"one element", false, func(c *reduced) { c.reduce(forward, false, c.draw(1, graph.Shape{1})...) }},
		{"many", false, func(c *reduced) { c.reduce(forward, false, c.draw(1, parameters()...)...) }},
		{"large and small", false, func(c *reduced) {
			c.reduce(forward, false, append(c.draw(1e30, graph.Shape{33}), c.draw(1e-30, graph.Shape{5})...)...)
		}},
		{"in place", false, func(c *reduced) { c.reduce(forward, true, c.draw(1, parameters()...)...) }},
		{"in half the bits", true, func(c *reduced) { c.reduce(forward, false, c.draw(1, parameters()...)...) }},
		{"twice", false, func(c *reduced) {
			in := c.draw(1, graph.Shape{17}, graph.Shape{3, 5})
			c.reduce(forward, false, in[:1]...)
			c.reduce(gradient, false, in...)
		}},
		{"nan", false, func(c *reduced) {
			in := c.draw(1, graph.Shape{17}, graph.Shape{3, 5})
			if c.rank == 1 {
				c.poison(in[1])
			}
			c.nan = true
			c.reduce(forward, false, in...)
		}},
		{"read by the host", false, func(c *reduced) {
			in := c.draw(1, graph.Shape{1}, graph.Shape{33})
			c.reduce(forward, false, in...)
			for _, v := range c.p.Phases[forward][0].Out {
				v.Role = graph.Activation
				c.maps[v] = false
				c.p.Kept = append(c.p.Kept, v)
			}
		}},
		{"on the way", false, onTheWay},
	}
}

// onTheWay: two sums travel while other nodes write to the arena and let go of it, of the sums' inputs too.
func onTheWay(c *reduced) {
	s := []int{51, 35}
	activation := func(name string) *graph.Value {
		v := c.out(name, s...)
		v.Role = graph.Activation
		return v
	}
	node := func(op graph.Op, out *graph.Value, in ...*graph.Value) *graph.Value {
		c.node(forward, op, nil, in, []*graph.Value{out})
		return out
	}
	start, zero := c.normal("start", 0, 1, s...), c.filled("zero", make([]float32, graph.Shape(s).Elems()), s...)
	mine := float64s(c.data[start])
	var means []*graph.Value
	x := node(graph.Add, activation("x"), start, zero)
	for range 2 {
		mean := activation("mean")
		c.node(forward, graph.AllReduce, c.attr, []*graph.Value{x}, []*graph.Value{mean})
		means = append(means, mean)
		for range 3 {
			x = node(graph.Sigmoid, activation("x"), node(graph.Add, activation("sum"), x, start))
		}
	}
	c.parts = append(c.parts, part{node(graph.Add, c.out("first", s...), means[0], zero), slices.Clone(mine)})
	first := slices.Clone(mine)
	for range 3 {
		for i := range mine {
			mine[i] = 1 / (1 + math.Exp(-mine[i]-first[i]))
		}
	}
	c.parts = append(c.parts, part{node(graph.Add, c.out("second", s...), means[1], zero), mine})
}

// reductions runs every case on bs, the ranks of one job, and compares with the means taken here.
func reductions(t *testing.T, bs []backend.Backend, tolerance float64) {
	for _, d := range allReduceCases() {
		t.Run(d.name, func(t *testing.T) {
			for _, arena := range []bool{false, true} {
				errs := d.check(bs, arena, tolerance)
				if d.half && len(errs) > 0 && errors.Is(errs[0], backend.ErrUnsupported) {
					t.Skip("the backend has no bfloat16 to send")
				}
				report(t, fmt.Sprintf("activations %v: ", arena), errs)
			}
		})
	}
}

// halfTolerance is for bfloat16, which has 8 bits, once for each rank's part and for each of their sums.
const halfTolerance = 0x1p-6

func (d reduction) check(bs []backend.Backend, arena bool, tolerance float64) []error {
	if d.half {
		tolerance = halfTolerance
	}
	cases := make([]*reduced, len(bs))
	for rank := range cases {
		cases[rank] = d.of(len(bs), rank)
	}
	return together(len(bs), func(rank int) (err error) {
		c := cases[rank]
		p := c.p
		if arena {
			p = c.throughArena()
			p.Kept = c.p.Kept
		}
		exe, err := c.load(bs[rank], p)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(append(closing(exe), err)...) }()
		for ph := range p.Phases {
			if err := exe.Run(graph.Phase(ph)); err != nil {
				return err
			}
		}
		return errors.Join(c.compareMeans(exe, cases, tolerance)...)
	})
}

// compareMeans compares what exe has with the means of all ranks' parts, and verifies that nothing else was written.
func (c *reduced) compareMeans(exe backend.Executable, all []*reduced, tolerance float64) (errs []error) {
	written := map[*graph.Value]bool{}
	for i, p := range c.parts {
		written[p.out] = true
		want := make([]float64, len(p.mine))
		for _, other := range all {
			for k, x := range other.parts[i].mine {
				want[k] += x / float64(len(all))
			}
		}
		have, err := read(exe, p.out)
		if err == nil {
			err = difference(p.out, have, want, bound{tolerance, c.magnitude[p.out], c.nan})
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%q: %w", p.out.Name, err))
		}
	}
	for _, v := range c.inputs() {
		if !written[v] {
			errs = append(errs, c.unchanged(v, exe)...)
		}
	}
	return errs
}
