package kernels

import "senet/internal/graph"

// globalNorm is a launch over all gradients, and one over the sums of their chunks.
func globalNorm(p *Planner, n *graph.Node) (Plan, error) {
	scale, grads := n.In[0], n.In[1:]
	var gradients []Arg
	for _, grad := range grads {
		gradients = append(gradients, at(grad), i64(int64(grad.Shape.Elems())))
	}
	entries := chunks(grads)
	var w workspace
	squares := w.take(8 * int64(len(entries)))
	return Plan{Scratch: w.bytes, Launches: []Launch{
		{
			Module: "global_norm", Kernel: "global_norm_squares",
			Grid: Dim{X: len(entries)}, Block: Dim{X: chunkThreads},
			Args: []Arg{squares, table(gradients...), table(entries...)}, Bytes: p.traffic(grads...),
		},
		{
			Module: "global_norm", Kernel: "global_norm_root",
			Block: Dim{X: 1024}, Args: []Arg{at(n.Out[0]), squares, at(scale), i32(len(entries))},
		},
	}}, nil
}
