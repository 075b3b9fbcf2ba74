package backendtest

import (
	"fmt"
	"math"

	"senet/internal/graph"
)

// featureMaps are the odd shapes (N, C, H, W) that ops over maps are tried on.
func featureMaps() []graph.Shape {
	return []graph.Shape{
		{1, 1, 1, 1}, {3, 1, 7, 5}, {1, 3, 13, 7}, {3, 5, 1, 7}, {3, 8, 7, 1}, {1, 16, 13, 28}, {3, 17, 28, 13}, {1, 32, 7, 7}, {3, 33, 5, 3},
	}
}

func normalizeCases() []definition {
	var ds []definition
	for _, s := range []graph.Shape{{1, 1, 1, 1}, {3, 7, 13, 1}, {1, 13, 7, 3}, {3, 28, 13, 3}, {2, 16, 13, 3}, {3, 1, 5, 5}, {1, 8, 4, 5}, {1, 7, 1, 17}} {
		ds = append(ds, definition{s.String(), func(c *testCase) {
			n, h, w, channels := s[0], s[1], s[2], s[3]
			pixels := make([]uint8, s.Elems())
			for i := range pixels {
				pixels[i] = uint8(c.random.IntN(256))
			}
			var a graph.NormalizeAttr
			for range channels {
				a.Mean = append(a.Mean, float32(0.2+0.5*c.random.Float64()))
				a.Std = append(a.Std, float32(0.1+0.3*c.random.Float64()))
			}
			c.node(forward, graph.Normalize, a, []*graph.Value{c.filled("image", pixels, s...)}, []*graph.Value{c.mapOut("x", n, channels, h, w)})
		}})
	}
	return ds
}

// elementwiseShapes has the ranks that ReLU, sigmoid and add meet.
func elementwiseShapes() []graph.Shape {
	return append(featureMaps(), graph.Shape{1, 1}, graph.Shape{3, 17}, graph.Shape{1, 8}, graph.Shape{3, 33})
}

// pointwise is an op of one input and its gradient, which reads the output.
func pointwise(op, grad graph.Op, std float64) []definition {
	var ds []definition
	for _, s := range elementwiseShapes() {
		ds = append(ds, definition{s.String(), func(c *testCase) {
			x, y := c.asMap(c.normal("x", 0, std, s...)), c.mapOut("y", s...)
			dy, dx := c.mapIn("dy", s...), c.mapOut("dx", s...)
			c.node(forward, op, nil, []*graph.Value{x}, []*graph.Value{y})
			c.node(gradient, grad, nil, []*graph.Value{dy, y}, []*graph.Value{dx})
			c.loss(y, dy)
			c.derivatives([]*graph.Value{x}, []*graph.Value{dx})
		}})
	}
	return append(ds, definition{"nan", func(c *testCase) {
		x := c.mapIn("x", 3, 17, 5, 7)
		c.poison(x)
		c.node(forward, op, nil, []*graph.Value{x}, []*graph.Value{c.mapOut("y", 3, 17, 5, 7)})
	}})
}

// poison makes one element of v NaN: an op must pass it on, or the training loop would not notice.
func (c *testCase) poison(v *graph.Value) {
	x := c.data[v].([]float32)
	x[len(x)/2] = float32(math.NaN())
	c.nan = true
}

func reluCases() []definition { return pointwise(graph.ReLU, graph.ReLUGrad, 1) }

func sigmoidCases() []definition {
	return append(pointwise(graph.Sigmoid, graph.SigmoidGrad, 3), definition{"saturated", func(c *testCase) {
		x := c.asMap(c.normal("x", 0, 100, 3, 17))
		c.node(forward, graph.Sigmoid, nil, []*graph.Value{x}, []*graph.Value{c.mapOut("y", 3, 17)})
	}})
}

func hardSigmoidCases() []definition {
	return pointwise(graph.HardSigmoid, graph.HardSigmoidGrad, 3)
}

func tanhCases() []definition {
	return append(pointwise(graph.Tanh, graph.TanhGrad, 1), definition{"saturated", func(c *testCase) {
		x := c.asMap(c.normal("x", 0, 100, 3, 17))
		c.node(forward, graph.Tanh, nil, []*graph.Value{x}, []*graph.Value{c.mapOut("y", 3, 17)})
	}})
}

func dropoutCases() []definition {
	var ds []definition
	for _, s := range elementwiseShapes() {
		for _, a := range []graph.DropoutAttr{{Rate: 0.2, Seed: 7}, {Rate: 0.5, Seed: 1 << 63}, {Seed: 3}} {
			ds = append(ds, definition{fmt.Sprint(s, a), func(c *testCase) {
				x, step, y := c.mapIn("x", s...), c.filled("step", []int32{int32(c.random.IntN(1000)) - 1}, 1), c.mapOut("y", s...)
				dy, dx := c.mapIn("dy", s...), c.mapOut("dx", s...)
				c.node(forward, graph.Dropout, a, []*graph.Value{x, step}, []*graph.Value{y})
				c.node(gradient, graph.DropoutGrad, a, []*graph.Value{dy, step}, []*graph.Value{dx})
				c.loss(y, dy)
				c.derivatives([]*graph.Value{x}, []*graph.Value{dx})
			}})
		}
	}
	return ds
}

func addCases() []definition {
	var ds []definition
	for _, s := range elementwiseShapes() {
		ds = append(ds, definition{s.String(), func(c *testCase) {
			c.node(forward, graph.Add, nil, []*graph.Value{c.mapIn("a", s...), c.mapIn("b", s...)}, []*graph.Value{c.mapOut("sum", s...)})
		}})
	}
	return append(ds, definition{"twice", func(c *testCase) {
		a := c.mapIn("a", 3, 5, 7, 3)
		c.node(forward, graph.Add, nil, []*graph.Value{a, a}, []*graph.Value{c.mapOut("sum", a.Shape...)})
	}})
}

func scaleCases() []definition {
	var ds []definition
	for _, s := range featureMaps() {
		ds = append(ds, definition{s.String(), func(c *testCase) {
			x, gate, y := c.mapIn("x", s...), c.mapIn("gate", s[:2]...), c.mapOut("y", s...)
			dy, dx, dgate := c.mapIn("dy", s...), c.mapOut("dx", s...), c.mapOut("dgate", s[:2]...)
			c.node(forward, graph.Scale, nil, []*graph.Value{x, gate}, []*graph.Value{y})
			c.node(gradient, graph.ScaleGrad, nil, []*graph.Value{dy, x, gate}, []*graph.Value{dx, dgate})
			c.loss(y, dy)
			c.derivatives([]*graph.Value{x, gate}, []*graph.Value{dx, dgate})
		}})
	}
	return ds
}
