package kernels

import (
	"slices"

	"senet/internal/graph"
)

// rowThreads is the block of kernels that give each row of k classes one block.
func rowThreads(k int) Dim { return Dim{X: min(32*ceilDiv(k, 32), 256)} }

// sumThreads is the block of the kernels that add up what the rows' blocks left: there is one.
const sumThreads = 256

// targets are the labels of a loss or its gradient, the mixed ones and their share.
func targets(n *graph.Node) []Arg { return []Arg{at(n.In[1]), at(n.In[2]), at(n.In[3])} }

// softmaxCrossEntropy is a launch over the rows, and one over their losses.
func softmaxCrossEntropy(p *Planner, n *graph.Node) (Plan, error) {
	logits, labels, loss, probabilities := n.In[0], n.In[1], n.Out[0], n.Out[1]
	rows, k := logits.Shape[0], logits.Shape[1]
	var w workspace
	losses := w.take(4 * int64(rows))
	return Plan{Scratch: w.bytes, Launches: []Launch{
		{
			Module: "softmax_cross_entropy", Kernel: "softmax_cross_entropy_rows", Grid: Dim{X: rows}, Block: rowThreads(k),
			Args: slices.Concat([]Arg{losses, at(probabilities), at(logits)}, targets(n),
				[]Arg{f32(n.Attr.(graph.LossAttr).Smoothing), i32(k)}),
			Bytes: p.traffic(logits, labels, probabilities),
		},
		{
			Module: "softmax_cross_entropy", Kernel: "softmax_cross_entropy_mean", Block: Dim{X: sumThreads},
			Args: []Arg{at(loss), losses, at(labels), i32(rows)}, Bytes: p.traffic(labels, loss),
		},
	}}, nil
}

func softmaxCrossEntropyGrad(p *Planner, n *graph.Node) (Plan, error) {
	probabilities, labels, scale, dlogits := n.In[0], n.In[1], n.In[4], n.Out[0]
	rows, k := probabilities.Shape[0], probabilities.Shape[1]
	return p.one(Launch{
		Module: "softmax_cross_entropy", Kernel: "softmax_cross_entropy_grad", Grid: Dim{X: rows}, Block: rowThreads(k),
		Args: slices.Concat([]Arg{at(dlogits), at(probabilities)}, targets(n),
			[]Arg{at(scale), f32(n.Attr.(graph.LossAttr).Smoothing), i32(rows), i32(k)}),
	}, probabilities, labels, dlogits)
}
