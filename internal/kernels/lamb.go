package kernels

import "senet/internal/graph"

// lamb is a launch that counts the step, two over all parameters, and between them one over the tensors.
func lamb(p *Planner, n *graph.Node) (Plan, error) {
	var w workspace
	u := p.adam(n, &w)
	squares, ratios := w.take(8*int64(u.chunks)), w.take(4*int64(len(u.params)))
	decay, firsts, next := f32(u.attr.WeightDecay), []Arg{i64(0)}, 0
	for _, v := range u.params {
		next += ceilDiv(v.Shape.Elems(), chunk)
		firsts = append(firsts, i64(int64(next)))
	}
	averages := append([]Arg{squares, u.tensors, u.entries, u.factors, decay}, u.weights...)
	return Plan{Scratch: w.bytes, Launches: []Launch{
		u.begin,
		u.launch("lamb", "lamb_averages", u.gradients+p.traffic(u.params...), averages...),
		{
			Module: "lamb", Kernel: "lamb_ratios", Grid: Dim{X: len(u.params)}, Block: Dim{X: 128},
			Args: []Arg{ratios, squares, u.tensors, table(firsts...), decay},
		},
		u.launch("lamb", "lamb_"+p.Precision.Map().String(), u.parameters+p.averages(n),
			u.tensors, u.entries, u.factors, ratios, u.rate, decay, f32(u.attr.Eps)),
	}}, nil
}

// averages is the bytes that reading the moving averages of n takes.
func (p *Planner) averages(n *graph.Node) int64 {
	var bytes int64
	for i := range n.In[graph.UpdateGrads:] {
		bytes += p.traffic(n.Out[2+3*i], n.Out[3+3*i])
	}
	return bytes
}
