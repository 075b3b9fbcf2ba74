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
			var in []*graph.Value
			for i, s := range parameters() {
				in = append(in, c.normal(fmt.Sprint("grad ", i), 0, std, s...))
			}
			norm := c.out("norm", 1)
			c.magnitude[norm] = std
			c.node(forward, graph.GlobalNorm, nil, in, []*graph.Value{norm})
		}})
	}
	return append(ds, definition{"nan", func(c *testCase) {
		in := []*graph.Value{c.normal("grad 0", 0, 1, 17), c.normal("grad 1", 0, 1, 5, 3)}
		c.poison(in[1])
		c.node(forward, graph.GlobalNorm, nil, in, []*graph.Value{c.out("norm", 1)})
	}})
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

// sgdCases run two steps, the second with the momentum of the first.
func sgdCases() []definition {
	var ds []definition
	for bits := range 8 {
		a := graph.SGDAttr{Nesterov: bits&1 > 0}
		if bits&2 > 0 {
			a.WeightDecay = 0.05
		}
		if bits&4 > 0 {
			a.Momentum = 0.9
		}
		ds = append(ds, definition{fmt.Sprintf("%+v", a), func(c *testCase) {
			a := a // its Decay grows below
			in, out := []*graph.Value{c.filled("learning rate", []float32{0.3}, 1)}, []*graph.Value(nil)
			for i, s := range parameters() {
				in = append(in, c.normal(fmt.Sprint("grad ", i), 0, 1, s...))
				out = append(out, c.normal(fmt.Sprint("param ", i), 0, 1, s...), c.normal(fmt.Sprint("momentum ", i), 0, 1, s...))
				a.Decay = append(a.Decay, len(s) > 1)
			}
			c.node(forward, graph.SGD, a, in, out)
			c.node(gradient, graph.SGD, a, in, out)
		}})
	}
	return ds
}
