package backendtest

import (
	"fmt"
	"math"

	"senet/internal/graph"
)

// labels are n classes below k, every third one -1 (a row to ignore).
func (c *testCase) labels(n, k int) *graph.Value {
	x := make([]int32, n)
	for i := range x {
		x[i] = int32(c.random.IntN(k))
		if i%3 == 2 {
			x[i] = -1
		}
	}
	return c.filled("labels", x, n)
}

// targets are labels of n rows below k and, if mixed, those mixed in with their shares: in some rows the same, 0 and 1.
func (c *testCase) targets(n, k int, mixed bool) graph.Targets {
	t := graph.Targets{Labels: c.labels(n, k)}
	if !mixed {
		return t
	}
	labels, share := make([]int32, n), make([]float32, n)
	for i := range labels {
		labels[i], share[i] = int32(c.random.IntN(k)), float32(c.random.Float64())
		switch i {
		case 3:
			share[i] = 1
		case 4:
			share[i] = 0
		case 6:
			labels[i] = c.data[t.Labels].([]int32)[i]
		}
	}
	t.MixedLabels, t.Share = c.filled("mixed labels", labels, n), c.filled("share", share, n)
	return t
}

func softmaxCrossEntropyCases() []definition {
	return lossCases(30, func(smoothing float32, _ int) any { return graph.LossAttr{Smoothing: smoothing} }, softmaxCrossEntropy)
}

func binaryCrossEntropyCases() []definition {
	return lossCases(10, func(smoothing float32, variant int) any { // at 30 finite differences leave the straight piece
		return graph.BinaryLossAttr{Smoothing: smoothing, Threshold: []float32{0, 0.2}[variant&1], SumClasses: variant&2 > 0}
	}, binaryCrossEntropy)
}

// loss adds a loss and its gradient to a case. The loss scale is nil for 1.
type loss func(c *testCase, logits *graph.Value, t graph.Targets, scale *graph.Value, attr any)

// lossCases are those of a loss with attributes of each smoothing; variants count up. Logits spread by 1 and by wide.
func lossCases(wide float64, attr func(smoothing float32, variant int) any, f loss) []definition {
	var ds []definition
	for i, d := range []struct{ n, k int }{{1, 2}, {3, 5}, {7, 10}, {7, 17}, {4, 1000}} {
		for j, smoothing := range []float32{0, 0.1} {
			for k, std := range []float64{1, wide} {
				for l, mixed := range []bool{false, true} {
					a := attr(smoothing, i+j+2*k+l)
					ds = append(ds, definition{fmt.Sprintf("%dx%d,%+v,std=%g,mixed=%v", d.n, d.k, a, std, mixed), func(c *testCase) {
						f(c, c.asMap(c.normal("logits", 0, std, d.n, d.k)), c.targets(d.n, d.k, mixed), nil, a)
					}})
				}
			}
		}
	}
	return append(ds,
		definition{"no labels", func(c *testCase) {
			labels := c.filled("labels", []int32{-1, -1, -1}, 3)
			f(c, c.mapIn("logits", 3, 10), graph.Targets{Labels: labels}, nil, attr(0, 0))
		}},
		definition{"loss scale", func(c *testCase) {
			scale := c.filled("loss scale", []float32{48}, 1)
			f(c, c.mapIn("logits", 7, 10), c.targets(7, 10, true), scale, attr(0.1, 0))
		}},
		definition{"nan", func(c *testCase) {
			logits := c.mapIn("logits", 3, 10)
			c.poison(logits)
			f(c, logits, graph.Targets{Labels: c.filled("labels", []int32{1, 2, 3}, 3)}, nil, attr(0, 0))
			c.losses, c.gradients = nil, nil
		}},
	)
}

func softmaxCrossEntropy(c *testCase, logits *graph.Value, t graph.Targets, scale *graph.Value, attr any) {
	loss, probabilities := c.out("loss", 1), c.mapOut("probabilities", logits.Shape...)
	dlogits := c.mapOut("dlogits", logits.Shape...)
	c.node(forward, graph.SoftmaxCrossEntropy, attr, []*graph.Value{logits, t.Labels, t.MixedLabels, t.Share}, []*graph.Value{loss, probabilities})
	c.node(gradient, graph.SoftmaxCrossEntropyGrad, attr,
		[]*graph.Value{probabilities, t.Labels, t.MixedLabels, t.Share, scale}, []*graph.Value{dlogits})
	c.loss(loss, scale)
	c.derivatives([]*graph.Value{logits}, []*graph.Value{dlogits})
}

func binaryCrossEntropy(c *testCase, logits *graph.Value, t graph.Targets, scale *graph.Value, attr any) {
	loss, dlogits := c.out("loss", 1), c.mapOut("dlogits", logits.Shape...)
	c.node(forward, graph.BinaryCrossEntropy, attr, []*graph.Value{logits, t.Labels, t.MixedLabels, t.Share}, []*graph.Value{loss})
	c.node(gradient, graph.BinaryCrossEntropyGrad, attr,
		[]*graph.Value{logits, t.Labels, t.MixedLabels, t.Share, scale}, []*graph.Value{dlogits})
	c.loss(loss, scale)
	c.derivatives([]*graph.Value{logits}, []*graph.Value{dlogits})
}

// accuracyCases: ties, fewer than 5 classes, ignored rows, NaN.
func accuracyCases() []definition {
	var ds []definition
	for _, d := range []struct{ n, k int }{{1, 2}, {3, 4}, {17, 5}, {33, 10}, {64, 100}} {
		for _, ties := range []bool{false, true} {
			ds = append(ds, definition{fmt.Sprintf("%dx%d,ties=%v", d.n, d.k, ties), func(c *testCase) {
				logits := c.mapIn("logits", d.n, d.k)
				if ties {
					c.rounded(logits, 1)
				}
				c.accuracy(logits, c.labels(d.n, d.k))
			}})
		}
	}
	return append(ds, definition{"nan", func(c *testCase) {
		nan := float32(math.NaN())
		logits := c.filled("logits", []float32{
			nan, 1, 2, // at the label: wrong
			nan, 1, 2, // elsewhere: the label's rank is 0
			nan, nan, nan,
			3, 1, 2, // counted, wrong
			5, 4, 3, // ignored
		}, 5, 3)
		c.accuracy(c.asMap(logits), c.filled("labels", []int32{0, 2, 1, 1, -1}, 5))
	}})
}

func (c *testCase) accuracy(logits, labels *graph.Value) {
	c.node(forward, graph.Accuracy, nil, []*graph.Value{logits, labels}, []*graph.Value{c.value("correct", graph.Int32, graph.Shape{3})})
}
