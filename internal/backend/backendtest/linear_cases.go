package backendtest

import (
	"fmt"

	"senet/internal/graph"
)

// linearCases: with bias and without, the weight as a matrix and as a 1x1 convolution's, and with gradients not wanted. The
// last shapes are beyond a tile of 64, and each of the three products has a sum longer than 128.
func linearCases() []definition {
	var ds []definition
	for _, d := range []struct{ n, in, out int }{
		{1, 1, 1},
		{3, 5, 8},
		{1, 17, 3},
		{3, 32, 10},
		{7, 64, 33},
		{1, 8, 1},
		{3, 1, 16},
		{66, 130, 70},
		{5, 192, 68},
		{2, 12, 132},
		{130, 20, 12},
	} {
		for bits := range 4 {
			biased, asConv := bits&1 > 0, bits&2 > 0
			ds = append(ds, definition{fmt.Sprintf("%dx%d,out=%d,bias=%v,1x1=%v", d.n, d.in, d.out, biased, asConv), func(c *testCase) {
				weight := graph.Shape{d.out, d.in}
				if asConv {
					weight = append(weight, 1, 1)
				}
				x, w, y := c.mapIn("x", d.n, d.in), c.normal("w", 0, 1, weight...), c.mapOut("y", d.n, d.out)
				dy, dx, dw := c.mapIn("dy", d.n, d.out), c.mapOut("dx", d.n, d.in), c.out("dw", weight...)
				var bias, db *graph.Value
				if biased {
					bias, db = c.normal("bias", 0, 1, d.out), c.out("db", d.out)
				}
				if d.n == 7 && biased {
					dx = nil
				}
				c.node(forward, graph.Linear, nil, []*graph.Value{x, w, bias}, []*graph.Value{y})
				c.node(gradient, graph.LinearGrad, nil, []*graph.Value{dy, x, w}, []*graph.Value{dx, dw, db})
				c.loss(y, dy)
				c.derivatives([]*graph.Value{x, w, bias}, []*graph.Value{dx, dw, db})
			}})
		}
	}
	return ds
}

func excitationCases() []definition {
	var ds []definition
	for _, d := range []struct{ n, c, r int }{{1, 1, 1}, {3, 5, 1}, {1, 16, 4}, {3, 17, 8}, {3, 32, 4}, {7, 8, 16}, {37, 136, 72}} {
		for bits := range 4 {
			biased, asConv := bits&1 > 0, bits&2 > 0
			ds = append(ds, definition{fmt.Sprintf("%dx%d,r=%d,bias=%v,1x1=%v", d.n, d.c, d.r, biased, asConv), func(c *testCase) {
				in := append([]*graph.Value{c.mapIn("h", d.n, d.r)}, secondLayer(c, d.c, d.r, biased, asConv)...)
				c.node(forward, graph.Excitation, nil, in, []*graph.Value{c.mapOut("gate", d.n, d.c)})
			}})
		}
	}
	return ds
}

// excitationWeights are w1 (r, channels), b1 (r), w2 (channels, r), b2 (channels), the weights as 1x1 convolutions if asConv.
func excitationWeights(c *testCase, channels, r int, biased, asConv bool) []*graph.Value {
	return append(firstLayer(c, channels, r, biased, asConv), secondLayer(c, channels, r, biased, asConv)...)
}

// firstLayer and secondLayer are weight and bias of an SE block's layers.
func firstLayer(c *testCase, channels, r int, biased, asConv bool) []*graph.Value {
	return layer(c, "1", graph.Shape{r, channels}, 0.3, biased, asConv)
}

func secondLayer(c *testCase, channels, r int, biased, asConv bool) []*graph.Value {
	return layer(c, "2", graph.Shape{channels, r}, 0, biased, asConv)
}

func layer(c *testCase, name string, weight graph.Shape, bias float64, biased, asConv bool) []*graph.Value {
	outputs := weight[0]
	if asConv {
		weight = append(weight, 1, 1)
	}
	values := []*graph.Value{c.normal("w"+name, 0, 0.5, weight...), nil}
	if biased {
		values[1] = c.normal("b"+name, bias, 0.3, outputs)
	}
	return values
}
