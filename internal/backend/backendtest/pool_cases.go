package backendtest

import (
	"fmt"

	"senet/internal/graph"
)

func globalAvgPoolCases() []definition {
	var ds []definition
	for _, s := range featureMaps() {
		ds = append(ds, definition{s.String(), func(c *testCase) {
			x, y := c.mapIn("x", s...), c.mapOut("y", s[:2]...)
			dy, dx := c.mapIn("dy", s[:2]...), c.mapOut("dx", s...)
			c.magnitude[y] = 1 // a mean of standard normal values
			c.node(forward, graph.GlobalAvgPool, nil, []*graph.Value{x}, []*graph.Value{y})
			c.node(gradient, graph.GlobalAvgPoolGrad, nil, []*graph.Value{dy}, []*graph.Value{dx})
			c.loss(y, dy)
			c.derivatives([]*graph.Value{x}, []*graph.Value{dx})
		}})
	}
	return ds
}

func globalMaxPoolCases() []definition {
	var ds []definition
	for _, s := range featureMaps() {
		for _, kind := range []string{"", "ties", "inference", "nan"} {
			ds = append(ds, definition{fmt.Sprint(s, kind), func(c *testCase) {
				x, y := c.mapIn("x", s...), c.mapOut("y", s[:2]...)
				if kind == "inference" {
					c.node(forward, graph.GlobalMaxPool, nil, []*graph.Value{x}, []*graph.Value{y, nil})
					return
				}
				pixel := c.value("pixel", graph.Int32, s[:2])
				c.node(forward, graph.GlobalMaxPool, nil, []*graph.Value{x}, []*graph.Value{y, pixel})
				if kind == "nan" {
					c.poison(x)
					return
				}
				dy, dx := c.mapIn("dy", s[:2]...), c.mapOut("dx", s...)
				c.node(gradient, graph.GlobalMaxPoolGrad, nil, []*graph.Value{dy, pixel}, []*graph.Value{dx})
				if kind == "ties" {
					c.rounded(x, 1)
					return // the maximum has no derivative there
				}
				c.loss(y, dy)
				c.derivatives([]*graph.Value{x}, []*graph.Value{dx})
			}})
		}
	}
	return ds
}

// poolings are windows that overlap, leave rows out, reach into the padding or are cut off by ceil mode.
var poolings = []graph.PoolAttr{
	{Kernel: 3, Stride: 2, Pad: 1},
	{Kernel: 3, Stride: 2, Ceil: true},
	{Kernel: 2, Stride: 2},
	{Kernel: 2, Stride: 2, Ceil: true},
	{Kernel: 3, Stride: 1, Pad: 1},
	{Kernel: 5, Stride: 3, Pad: 2, Ceil: true},
	{Kernel: 1, Stride: 2},
	{Kernel: 2, Stride: 3},
}

func avgPoolCases() []definition {
	var ds []definition
	for _, a := range poolings {
		for _, s := range []graph.Shape{{1, 1, 7, 5}, {3, 5, 7, 13}, {3, 17, 13, 7}, {1, 32, 28, 13}, {3, 8, 5, 5}} {
			ds = append(ds, definition{fmt.Sprintf("%v,%+v", s, a), func(c *testCase) {
				out := graph.New().AvgPool("pool", &graph.Value{Shape: s}, a).Shape
				x, y, dy, dx := c.mapIn("x", s...), c.mapOut("y", out...), c.mapIn("dy", out...), c.mapOut("dx", s...)
				c.node(forward, graph.AvgPool, a, []*graph.Value{x}, []*graph.Value{y})
				c.node(gradient, graph.AvgPoolGrad, a, []*graph.Value{dy}, []*graph.Value{dx})
				c.loss(y, dy)
				c.derivatives([]*graph.Value{x}, []*graph.Value{dx})
			}})
		}
	}
	return ds
}

// concatCases: widths that are whole vectors and not, a single map, gradients not wanted.
func concatCases() []definition {
	var ds []definition
	for _, channels := range [][]int{{1}, {3, 5}, {16, 8, 32}, {1, 17, 2, 33}} {
		for _, s := range []graph.Shape{{1, 1, 1}, {3, 7, 5}, {2, 13, 1}} {
			for _, unwanted := range []int{-1, 0} {
				ds = append(ds, definition{fmt.Sprint(channels, s, unwanted), func(c *testCase) {
					var xs, dxs []*graph.Value
					total := 0
					for i, ch := range channels {
						xs = append(xs, c.mapIn(fmt.Sprint("x", i), s[0], ch, s[1], s[2]))
						dxs = append(dxs, c.mapOut(fmt.Sprint("dx", i), s[0], ch, s[1], s[2]))
						total += ch
					}
					if unwanted >= 0 {
						dxs[unwanted] = nil
					}
					a := graph.ConcatAttr{Channels: channels}
					y, dy := c.mapOut("y", s[0], total, s[1], s[2]), c.mapIn("dy", s[0], total, s[1], s[2])
					c.node(forward, graph.Concat, a, xs, []*graph.Value{y})
					c.node(gradient, graph.ConcatGrad, a, []*graph.Value{dy}, dxs)
					c.loss(y, dy)
					c.derivatives(xs, dxs)
				}})
			}
		}
	}
	return ds
}

// maxPoolCases: every pooling with and without ties; inference.
func maxPoolCases() []definition {
	var ds []definition
	for _, a := range poolings {
		for i, s := range []graph.Shape{{1, 1, 7, 5}, {3, 5, 7, 13}, {3, 17, 13, 7}, {1, 32, 28, 13}, {3, 8, 5, 5}} {
			for _, kind := range []string{"", "ties", "inference", "nan"} {
				if kind == "nan" && i != 1 {
					continue
				}
				ds = append(ds, definition{fmt.Sprintf("%v,%+v,%s", s, a, kind), func(c *testCase) { maxPool(c, s, a, kind) }})
			}
		}
	}
	return ds
}

func maxPool(c *testCase, s graph.Shape, a graph.PoolAttr, kind string) {
	g := graph.New()
	out := g.MaxPool("pool", g.Input("x", s, graph.Float32), a).Shape
	x, y := c.mapIn("x", s...), c.mapOut("y", out...)
	if kind == "inference" {
		c.node(forward, graph.MaxPool, a, []*graph.Value{x}, []*graph.Value{y, nil})
		return
	}
	position := c.value("position", graph.Uint8, out)
	c.node(forward, graph.MaxPool, a, []*graph.Value{x}, []*graph.Value{y, position})
	if kind == "nan" {
		c.poison(x)
		return
	}
	dy, dx := c.mapIn("dy", out...), c.mapOut("dx", s...)
	c.node(gradient, graph.MaxPoolGrad, a, []*graph.Value{dy, position}, []*graph.Value{dx})
	if kind == "ties" {
		c.rounded(x, 1)
		return // the maximum has no derivative there
	}
	c.loss(y, dy)
	c.derivatives([]*graph.Value{x}, []*graph.Value{dx})
}
