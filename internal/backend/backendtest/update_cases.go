package backendtest

import (
	"fmt"

	"senet/internal/graph"
)

// parameters are shapes as they occur in networks, many elements and one.
func parameters() []graph.Shape {
	return []graph.Shape{{1}, {17}, {16, 3, 3, 3}, {8, 5, 1, 1}, {10, 33}, {1000, 65}}
}

// globalNormCases: squares of the large values are beyond float32.
func globalNormCases() []definition {
	var ds []definition
	for _, std := range []float64{1, 1e-25, 1e25} {
		ds = append(ds, definition{fmt.Sprintf("std=%g", std), func(c *testCase) {
			in := []*graph.Value{nil}
			for i, s := range parameters() {
				in = append(in, c.normal(fmt.Sprint("grad ", i), 0, std, s...))
			}
			norm := c.out("norm", 1)
			c.magnitude[norm] = std
			c.node(forward, graph.GlobalNorm, nil, in, []*graph.Value{norm})
		}})
	}
	return append(ds,
		definition{"loss scale", func(c *testCase) {
			in := []*graph.Value{c.filled("loss scale", []float32{48}, 1), c.normal("grad 0", 0, 1, 17), c.normal("grad 1", 0, 1, 5, 3)}
			c.node(forward, graph.GlobalNorm, nil, in, []*graph.Value{c.out("norm", 1)})
		}},
		definition{"nan", func(c *testCase) {
			in := []*graph.Value{nil, c.normal("grad 0", 0, 1, 17), c.normal("grad 1", 0, 1, 5, 3)}
			c.poison(in[2])
			c.node(forward, graph.GlobalNorm, nil, in, []*graph.Value{c.out("norm", 1)})
		}},
	)
}

func runningStatsCases() []definition {
	var ds []definition
	for _, channels := range []int{1, 3, 8, 17, 32} {
		for _, a := range []graph.RunningStatsAttr{{Momentum: 0.1, Count: 2}, {Momentum: 0.03, Count: 1000}, {Momentum: 1, Count: 7}} {
			ds = append(ds, definition{fmt.Sprintf("%d,%+v", channels, a), func(c *testCase) {
				in := []*graph.Value{c.normal("mean", 0, 1, channels), c.positive("var", channels)}
				out := []*graph.Value{c.normal("running mean", 0, 1, channels), c.positive("running var", channels)}
				c.node(forward, graph.RunningStats, a, in, out)
			}})
		}
	}
	return ds
}

// optimiserInputs are an optimiser's, the gradients of parameters excepted.
func (c *testCase) optimiserInputs(scaled, clipped bool) []*graph.Value {
	in := make([]*graph.Value, graph.UpdateGrads)
	in[graph.UpdateRate] = c.filled("learning rate", []float32{0.3}, 1)
	if scaled {
		in[graph.UpdateScale] = c.filled("loss scale", []float32{0.375}, 1)
	}
	if clipped {
		in[graph.UpdateNorm] = c.filled("norm", []float32{5}, 1)
	}
	return in
}

// sgdCases run two steps, the second with the momentum of the first.
func sgdCases() []definition {
	var ds []definition
	for bits := range 32 {
		a, scaled, clipped := graph.SGDAttr{Nesterov: bits&1 > 0}, bits&8 > 0, bits&16 > 0
		if bits&2 > 0 {
			a.WeightDecay = 0.05
		}
		if bits&4 > 0 {
			a.Momentum = 0.9
		}
		if clipped {
			a.Clip = []float32{0.5, 50}[bits&1] // below the norm, and above it
		}
		ds = append(ds, definition{fmt.Sprintf("%+v,loss scale=%v,clipped=%v", a, scaled, clipped), func(c *testCase) {
			a := a // its Decay grows below
			in, out := c.optimiserInputs(scaled, clipped), []*graph.Value(nil)
			for i, s := range parameters() {
				in = append(in, c.normal(fmt.Sprint("grad ", i), 0, 1, s...))
				out = append(out, c.normal(fmt.Sprint("param ", i), 0, 1, s...), c.normal(fmt.Sprint("momentum ", i), 0, 1, s...))
				a.Decay = append(a.Decay, len(s) > 1)
			}
			c.node(forward, graph.SGD, a, in, out)
			c.node(gradient, graph.SGD, a, in, out)
		}})
	}
	return append(ds, definition{"convolution after it", func(c *testCase) {
		convolutionAfter(c, graph.SGD, graph.SGDAttr{Decay: []bool{true}}, "momentum")
	}})
}

// adamCases run two steps of AdamW or LAMB from the states of step 3, and the first two from none. The last parameters have norm
// 0, or a step of norm 0.
func adamCases(op graph.Op) []definition {
	var ds []definition
	for bits := range 16 {
		a := graph.AdamAttr{Beta1: 0.9, Beta2: 0.999, Eps: 1e-6}
		scaled, clipped, first := bits&1 > 0, bits&2 > 0, bits&4 > 0
		if bits&8 > 0 {
			a.WeightDecay = 0.05
		}
		if clipped {
			a.Clip = []float32{0.5, 50}[bits&1]
		}
		ds = append(ds, definition{fmt.Sprintf("%+v,loss scale=%v,clipped=%v,first=%v", a, scaled, clipped, first), func(c *testCase) {
			a, step := a, float32(3)
			if first {
				step = 0
			}
			in, out := c.optimiserInputs(scaled, clipped), []*graph.Value{c.filled("step", []float32{step}, 1)}
			add := func(name string, grad, param, state float64, s graph.Shape) {
				in = append(in, c.normal("grad "+name, 0, grad, s...))
				m, v := c.normal("exp_avg "+name, 0, state, s...), c.positive("exp_avg_sq "+name, s...)
				if state == 0 {
					clear(c.data[v].([]float32))
				}
				out = append(out, c.normal("param "+name, 0, param, s...), m, v)
				a.Decay = append(a.Decay, len(s) > 1)
			}
			state := 1.0
			if first {
				state = 0
			}
			for i, s := range parameters() {
				add(fmt.Sprint(i), 1, 1, state, s)
			}
			add("from zero", 1, 0, state, graph.Shape{3, 5})
			add("at rest", 0, 0, 0, graph.Shape{3, 5})
			c.node(forward, op, a, in, out)
			c.node(gradient, op, a, in, out)
		}})
	}
	return append(ds, definition{"convolution after it", func(c *testCase) {
		convolutionAfter(c, op, graph.AdamAttr{Beta1: 0.9, Beta2: 0.999, Eps: 1e-6, Decay: []bool{true}}, "exp_avg", "exp_avg_sq")
	}})
}

// gradSumCases run twice, from sums that are there already.
func gradSumCases() []definition {
	var ds []definition
	for _, scaled := range []bool{false, true} {
		ds = append(ds, definition{fmt.Sprintf("loss scale=%v", scaled), func(c *testCase) {
			in, out := []*graph.Value{nil}, []*graph.Value{c.filled("count", []float32{2}, 1)}
			if scaled {
				in[0] = c.filled("loss scale", []float32{0.375}, 1)
			}
			for i, s := range parameters() {
				in = append(in, c.normal(fmt.Sprint("grad ", i), 0, 1, s...))
				out = append(out, c.normal(fmt.Sprint("sum ", i), 0, 1, s...))
			}
			c.node(forward, graph.GradSum, nil, in, out)
			c.node(gradient, graph.GradSum, nil, in, out)
		}})
	}
	return append(ds, definition{"of a convolution", func(c *testCase) {
		a := graph.ConvAttr{Stride: 1, Pad: 1, Groups: 1}
		x, dy, dw := c.mapIn("x", 2, 8, 5, 5), c.mapIn("dy", 2, 16, 5, 5), c.out("dw", 16, 8, 3, 3)
		c.node(forward, graph.ConvGradWeight, a, []*graph.Value{dy, x}, []*graph.Value{dw, nil})
		c.node(forward, graph.GradSum, nil, []*graph.Value{nil, dw}, []*graph.Value{c.filled("count", []float32{0}, 1), c.normal("sum", 0, 1, 16, 8, 3, 3)})
	}})
}

func clearCases() []definition {
	return []definition{{"all", func(c *testCase) {
		var out []*graph.Value
		for i, s := range parameters() {
			out = append(out, c.normal(fmt.Sprint("value ", i), 0, 1, s...))
		}
		c.poison(out[len(out)-1])
		c.node(forward, graph.Clear, nil, nil, out)
	}}}
}

// emaCases run two updates.
func emaCases() []definition {
	var ds []definition
	for _, decay := range []float64{0.5, 0.9998} {
		ds = append(ds, definition{fmt.Sprintf("decay=%v", decay), func(c *testCase) {
			var in, out []*graph.Value
			for i, s := range parameters() {
				in, out = append(in, c.normal(fmt.Sprint("value ", i), 0, 1, s...)), append(out, c.normal(fmt.Sprint("average ", i), 0, 1, s...))
			}
			c.node(forward, graph.EMA, graph.EMAAttr{Decay: decay}, in, out)
			c.node(gradient, graph.EMA, graph.EMAAttr{Decay: decay}, in, out)
		}})
	}
	return append(ds, definition{"of a convolution", func(c *testCase) {
		x, w := c.mapIn("x", 2, 8, 5, 5), c.normal("w", 0, 1, 16, 8, 3, 3)
		c.node(forward, graph.Conv, graph.ConvAttr{Stride: 1, Pad: 1, Groups: 1}, []*graph.Value{x, w, nil, nil, nil}, []*graph.Value{c.mapOut("y", 2, 16, 5, 5)})
		c.node(forward, graph.EMA, graph.EMAAttr{Decay: 0.5}, []*graph.Value{w}, []*graph.Value{c.normal("average", 0, 1, 16, 8, 3, 3)})
	}})
}

// convolutionAfter: a convolution reads the weight before and after its update, in one phase; a backend may keep a copy of it.
func convolutionAfter(c *testCase, op graph.Op, attr any, states ...string) {
	weight, a := []int{16, 8, 3, 3}, graph.ConvAttr{Stride: 1, Pad: 1, Groups: 1}
	x, dy := c.mapIn("x", 2, 8, 5, 5), c.mapIn("dy", 2, 16, 5, 5)
	before, after := c.mapOut("before", 2, 16, 5, 5), c.mapOut("after", 2, 16, 5, 5)
	w, dw := c.normal("w", 0, 1, weight...), c.out("dw", weight...)
	in, out := append(c.optimiserInputs(false, false), dw), []*graph.Value{w}
	if op != graph.SGD {
		out = append([]*graph.Value{c.filled("step", []float32{3}, 1)}, out...)
	}
	for _, state := range states {
		out = append(out, c.positive(state, weight...))
	}
	c.node(forward, graph.Conv, a, []*graph.Value{x, w, nil, nil, nil}, []*graph.Value{before})
	c.node(forward, graph.ConvGradWeight, a, []*graph.Value{dy, x}, []*graph.Value{dw, nil})
	c.node(forward, op, attr, in, out)
	c.node(forward, graph.Conv, a, []*graph.Value{x, w, nil, nil, nil}, []*graph.Value{after})
}
