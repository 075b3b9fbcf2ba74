package backendtest

import (
	"fmt"

	"senet/internal/graph"
)

// convolution is the geometry of a case: x (n, c, h, w), weight (k, c/groups, r, s).
type convolution struct {
	n, c, h, w, k, r, s int
	stride, pad, groups int
}

func (d convolution) String() string {
	return fmt.Sprintf("%dx%dx%dx%d,k=%d,%dx%d,stride=%d,pad=%d,groups=%d", d.n, d.c, d.h, d.w, d.k, d.r, d.s, d.stride, d.pad, d.groups)
}

func (d convolution) attr() graph.ConvAttr {
	return graph.ConvAttr{Stride: d.stride, Pad: d.pad, Groups: d.groups}
}

func (d convolution) weight() graph.Shape { return graph.Shape{d.k, d.c / d.groups, d.r, d.s} }

// output is the inferred shape (N, K, P, Q).
func (d convolution) output() graph.Shape {
	g := graph.New()
	x := g.Input("x", graph.Shape{d.n, d.c, d.h, d.w}, graph.Float32)
	return g.Conv("conv", x, g.Param("w", d.weight(), graph.Zeros()), nil, d.attr()).Shape
}

func convolutions() []convolution {
	return []convolution{
		{1, 1, 1, 1, 1, 1, 1, 1, 0, 1},
		{1, 1, 7, 5, 1, 1, 1, 1, 0, 1},
		{3, 5, 7, 13, 8, 1, 1, 1, 0, 1},
		{3, 16, 13, 28, 17, 1, 1, 1, 0, 1},
		{1, 32, 7, 1, 16, 1, 1, 2, 0, 1},
		{3, 17, 13, 7, 5, 1, 1, 2, 0, 1},
		{3, 8, 7, 5, 16, 1, 1, 1, 0, 2},
		{1, 3, 28, 13, 8, 3, 3, 1, 1, 1},
		{3, 16, 7, 13, 16, 3, 3, 1, 1, 1},
		{3, 5, 13, 7, 17, 3, 3, 2, 1, 1},
		{1, 8, 7, 28, 3, 3, 3, 1, 0, 1},
		{3, 1, 1, 7, 5, 3, 3, 1, 1, 1},
		{3, 3, 1, 1, 8, 3, 3, 1, 1, 1},
		{3, 8, 7, 13, 16, 3, 3, 1, 1, 2},
		{1, 32, 13, 7, 32, 3, 3, 2, 1, 4},
		{3, 16, 7, 5, 16, 3, 3, 1, 1, 16},
		{1, 5, 13, 28, 5, 3, 3, 2, 1, 5},
		{3, 8, 7, 5, 16, 3, 3, 1, 1, 8},
		{1, 3, 13, 28, 8, 5, 5, 2, 3, 1},
		{3, 17, 7, 13, 1, 5, 5, 1, 1, 1},
		{3, 3, 28, 13, 16, 7, 7, 2, 3, 1},
		{1, 1, 13, 7, 3, 7, 7, 1, 3, 1},
		{1, 5, 7, 13, 8, 1, 7, 1, 0, 1},
		{3, 8, 13, 7, 5, 3, 1, 1, 0, 1},
		// More than one tile of a backend that multiplies by tiles of up to 128, in each direction.
		{2, 136, 13, 7, 144, 1, 1, 1, 0, 1},
		{2, 40, 13, 14, 72, 3, 3, 2, 1, 1},
		// Enough 4x4 outputs and channels for Winograd's algorithm, the last tiles cut off; channels of several blocks.
		{3, 40, 13, 14, 72, 3, 3, 1, 1, 1},
		{1, 70, 27, 25, 33, 3, 3, 1, 1, 1},
		{13, 64, 7, 6, 40, 3, 3, 1, 1, 1},
		{4, 136, 13, 15, 48, 3, 3, 1, 1, 1},
	}
}

// convCases: a training convolution and both its gradients; every third one with bias.
func convCases() []definition {
	var ds []definition
	for i, d := range convolutions() {
		biased := i%3 == 0
		ds = append(ds, definition{fmt.Sprintf("%v,bias=%v", d, biased), func(c *testCase) {
			s := d.output()
			x := c.mapIn("x", d.n, d.c, d.h, d.w)
			w := c.normal("w", 0, 1, d.weight()...)
			y, dy := c.mapOut("y", s...), c.mapIn("dy", s...)
			dx, dw := c.mapOut("dx", x.Shape...), c.out("dw", w.Shape...)
			var bias, db *graph.Value
			if biased {
				bias, db = c.normal("bias", 0, 1, d.k), c.out("db", d.k)
			}
			c.node(forward, graph.Conv, d.attr(), []*graph.Value{x, w, bias, nil, nil}, []*graph.Value{y})
			c.node(gradient, graph.ConvGradInput, d.attr(), []*graph.Value{dy, w}, []*graph.Value{dx})
			c.node(gradient, graph.ConvGradWeight, d.attr(), []*graph.Value{dy, x}, []*graph.Value{dw, db})
			c.loss(y, dy)
			c.derivatives([]*graph.Value{x, w, bias}, []*graph.Value{dx, dw, db})
		}})
	}
	return ds
}

// convInferenceCases: every epilogue of an inference convolution on a few geometries.
func convInferenceCases() []definition {
	var ds []definition
	for _, d := range []convolution{
		{3, 5, 7, 13, 17, 1, 1, 1, 0, 1},
		{1, 16, 13, 7, 32, 3, 3, 2, 1, 1},
		{3, 8, 1, 7, 8, 3, 3, 1, 1, 2},
		{1, 3, 7, 7, 1, 1, 1, 2, 0, 1},
		{3, 33, 14, 13, 40, 3, 3, 1, 1, 1},
	} {
		for bits := range 16 {
			biased, gated, residual, relu := bits&1 > 0, bits&2 > 0, bits&4 > 0, bits&8 > 0
			name := fmt.Sprintf("%v,bias=%v,gate=%v,residual=%v,relu=%v", d, biased, gated, residual, relu)
			ds = append(ds, definition{name, func(c *testCase) {
				s, a := d.output(), d.attr()
				a.ReLU = relu
				in := []*graph.Value{c.mapIn("x", d.n, d.c, d.h, d.w), c.normal("w", 0, 1, d.weight()...), nil, nil, nil}
				if biased {
					in[2] = c.normal("bias", 0, 1, d.k)
				}
				if gated {
					in[3] = c.asMap(c.positive("gate", d.n, d.k))
				}
				if residual {
					in[4] = c.mapIn("residual", s...)
				}
				c.node(forward, graph.Conv, a, in, []*graph.Value{c.mapOut("y", s...)})
			}})
		}
	}
	return ds
}

func earlySqueezeCases() []definition {
	var ds []definition
	for _, d := range append(convolutions(), convolution{20, 70, 5, 5, 40, 1, 1, 1, 0, 1}, convolution{37, 144, 5, 5, 80, 3, 3, 1, 1, 1}) {
		if d.groups != 1 {
			continue
		}
		ds = append(ds, definition{d.String(), func(c *testCase) {
			// A mean away from 0 keeps the result from being a small difference.
			in := []*graph.Value{
				c.asMap(c.normal("x", 1, 1, d.n, d.c, d.h, d.w)), c.normal("w", 0.1, 1, d.weight()...), c.normal("bias", 0, 1, d.k),
			}
			c.node(forward, graph.EarlySqueeze, graph.EarlySqueezeAttr{Stride: d.stride, Pad: d.pad}, in, []*graph.Value{c.mapOut("z", d.n, d.k)})
		}})
	}
	return ds
}

func foldSqueezeCases() []definition {
	var ds []definition
	for i, d := range []struct {
		w              graph.Shape
		hidden, groups int
	}{{graph.Shape{1, 1, 1, 1}, 1, 1}, {graph.Shape{17, 3, 1, 1}, 2, 1}, {graph.Shape{16, 5, 3, 3}, 5, 1}, {graph.Shape{12, 4, 3, 1}, 9, 3}, {graph.Shape{300, 40, 1, 1}, 33, 1}, {graph.Shape{8, 1, 3, 3}, 1, 8}} {
		biased, asConv := i%2 == 0, i%3 == 0
		ds = append(ds, definition{fmt.Sprintf("%v,hidden=%d,groups=%d,bias=%v,1x1=%v", d.w, d.hidden, d.groups, biased, asConv), func(c *testCase) {
			k := d.w[0]
			in := []*graph.Value{
				c.normal("w", 0, 1, d.w...), c.normal("gamma", 1, 0.3, k), c.normal("beta", 0, 1, k), c.normal("mean", 0, 1, k), c.positive("var", k),
			}
			in = append(in, firstLayer(c, k, d.hidden, biased, asConv)...)
			out := []*graph.Value{c.out("folded w1", d.hidden, d.w[1]*d.groups, d.w[2], d.w[3]), c.out("folded b1", d.hidden)}
			c.node(forward, graph.FoldSqueeze, graph.FoldSqueezeAttr{Eps: 1e-5, Groups: d.groups}, in, out)
		}})
	}
	return ds
}

func foldBNCases() []definition {
	var ds []definition
	for _, s := range []graph.Shape{{1, 1, 1, 1}, {17, 3, 7, 7}, {5, 16, 1, 1}, {32, 1, 3, 3}} {
		ds = append(ds, definition{s.String(), func(c *testCase) {
			in := []*graph.Value{c.normal("w", 0, 1, s...), c.normal("gamma", 1, 0.3, s[0]), c.normal("beta", 0, 1, s[0]), c.normal("mean", 0, 1, s[0]), c.positive("var", s[0])}
			out := []*graph.Value{c.out("folded w", s...), c.out("folded bias", s[0])}
			c.node(forward, graph.FoldBN, graph.BatchNormAttr{Eps: 1e-5}, in, out)
		}})
	}
	return ds
}
