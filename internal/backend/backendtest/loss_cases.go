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

func softmaxCrossEntropyCases() []definition {
	var ds []definition
	for _, d := range []struct{ n, k int }{{1, 2}, {3, 5}, {7, 10}, {3, 17}, {4, 1000}} {
		for _, smoothing := range []float32{0, 0.1} {
			for _, std := range []float64{1, 30} {
				ds = append(ds, definition{fmt.Sprintf("%dx%d,smoothing=%g,std=%g", d.n, d.k, smoothing, std), func(c *testCase) {
					softmaxCrossEntropy(c, c.asMap(c.normal("logits", 0, std, d.n, d.k)), c.labels(d.n, d.k), graph.LossAttr{Smoothing: smoothing})
				}})
			}
		}
	}
	return append(ds,
		definition{"no labels", func(c *testCase) {
			softmaxCrossEntropy(c, c.mapIn("logits", 3, 10), c.filled("labels", []int32{-1, -1, -1}, 3), graph.LossAttr{})
		}},
		definition{"nan", func(c *testCase) {
			logits := c.mapIn("logits", 3, 10)
			c.poison(logits)
			out := []*graph.Value{c.out("loss", 1), c.out("probabilities", 3, 10)}
			c.node(forward, graph.SoftmaxCrossEntropy, graph.LossAttr{}, []*graph.Value{logits, c.filled("labels", []int32{1, 2, 3}, 3)}, out)
		}},
	)
}

func softmaxCrossEntropy(c *testCase, logits, labels *graph.Value, a graph.LossAttr) {
	loss, probabilities := c.out("loss", 1), c.mapOut("probabilities", logits.Shape...)
	dlogits := c.mapOut("dlogits", logits.Shape...)
	c.node(forward, graph.SoftmaxCrossEntropy, a, []*graph.Value{logits, labels}, []*graph.Value{loss, probabilities})
	c.node(gradient, graph.SoftmaxCrossEntropyGrad, a, []*graph.Value{probabilities, labels}, []*graph.Value{dlogits})
	c.loss(loss, nil)
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
