package kernels

import "senet/internal/graph"

// sgd is one launch over all parameters.
func sgd(p *Planner, n *graph.Node) (Plan, error) {
	a := n.Attr.(graph.SGDAttr)
	grads := n.In[graph.UpdateGrads:]
	var tensors []Arg
	var params []*graph.Value
	var bytes int64
	for i, grad := range grads {
		param, momentum := n.Out[2*i], n.Out[2*i+1]
		copied := null()
		bytes += 2*p.traffic(param, momentum) + p.traffic(grad)
		if p.Copied(param) {
			copied = copyOf(param)
			bytes += int64(param.Shape.Elems() * p.Precision.Map().Size())
		}
		decay := int64(0)
		if a.Decay[i] {
			decay = 1
		}
		tensors = append(tensors, at(param), at(momentum), at(grad), copied, i64(int64(param.Shape.Elems())), i64(decay))
		params = append(params, param)
	}
	entries := chunks(params)
	return Plan{Launches: []Launch{{
		Module: "sgd", Kernel: "sgd_" + p.Precision.Map().String(),
		Grid: Dim{X: len(entries)}, Block: Dim{X: chunkThreads},
		Args: []Arg{
			table(tensors...), table(entries...), at(n.In[graph.UpdateRate]), at(n.In[graph.UpdateScale]), at(n.In[graph.UpdateNorm]),
			f32(a.Clip), f32(a.Momentum), f32(a.WeightDecay), flag(a.Nesterov),
		},
		Bytes: bytes,
	}}}, nil
}
