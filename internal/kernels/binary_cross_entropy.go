package kernels

import (
	"slices"

	"senet/internal/graph"
)

// binaryTerms are the addends of a row's loss that the mean is over.
func binaryTerms(a graph.BinaryLossAttr, classes int) int {
	if a.SumClasses {
		return 1
	}
	return classes
}

// binaryCrossEntropy is a launch over the rows, and one over their losses.
func binaryCrossEntropy(p *Planner, n *graph.Node) (Plan, error) {
	logits, labels, loss, a := n.In[0], n.In[1], n.Out[0], n.Attr.(graph.BinaryLossAttr)
	rows, k := logits.Shape[0], logits.Shape[1]
	var w workspace
	losses := w.take(4 * int64(rows))
	return Plan{Scratch: w.bytes, Launches: []Launch{
		{
			Module: "binary_cross_entropy", Kernel: "binary_cross_entropy_rows", Grid: Dim{X: rows}, Block: rowThreads(k),
			Args:  slices.Concat([]Arg{losses, at(logits)}, targets(n), []Arg{f32(a.Smoothing), f32(a.Threshold), i32(k)}),
			Bytes: p.traffic(logits, labels),
		},
		{
			Module: "binary_cross_entropy", Kernel: "binary_cross_entropy_mean", Block: Dim{X: sumThreads},
			Args: []Arg{at(loss), losses, at(labels), i32(rows), i32(binaryTerms(a, k))}, Bytes: p.traffic(labels, loss),
		},
	}}, nil
}

func binaryCrossEntropyGrad(p *Planner, n *graph.Node) (Plan, error) {
	logits, labels, scale, dlogits, a := n.In[0], n.In[1], n.In[4], n.Out[0], n.Attr.(graph.BinaryLossAttr)
	rows, k := logits.Shape[0], logits.Shape[1]
	return p.one(Launch{
		Module: "binary_cross_entropy", Kernel: "binary_cross_entropy_grad", Grid: Dim{X: rows}, Block: rowThreads(k),
		Args: slices.Concat([]Arg{at(dlogits), at(logits)}, targets(n),
			[]Arg{at(scale), f32(a.Smoothing), f32(a.Threshold), i32(rows), i32(k), i32(binaryTerms(a, k))}),
	}, logits, labels, dlogits)
}
