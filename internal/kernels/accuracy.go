package kernels

import "senet/internal/graph"

// accuracy is a launch that ranks the rows, and one that counts the ranks.
func accuracy(p *Planner, n *graph.Node) (Plan, error) {
	logits, labels, correct := n.In[0], n.In[1], n.Out[0]
	rows, k := logits.Shape[0], logits.Shape[1]
	var w workspace
	ranks := w.take(4 * int64(rows))
	return Plan{Scratch: w.bytes, Launches: []Launch{
		{
			Module: "accuracy", Kernel: "accuracy_rows", Grid: Dim{X: rows}, Block: rowThreads(k),
			Args: []Arg{ranks, at(logits), at(labels), i32(k)}, Bytes: p.traffic(logits, labels),
		},
		{
			Module: "accuracy", Kernel: "accuracy_sum", Block: Dim{X: sumThreads},
			Args: []Arg{at(correct), ranks, i32(rows), i32(k)}, Bytes: p.traffic(correct),
		},
	}}, nil
}
