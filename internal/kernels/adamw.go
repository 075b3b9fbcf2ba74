package kernels

import "senet/internal/graph"

// adamUpdate is what the launches of AdamW and LAMB share.
type adamUpdate struct {
	attr             graph.AdamAttr
	params           []*graph.Value
	tensors, entries Arg // tables
	rate, factors    Arg
	weights          []Arg // 1 - beta1, 1 - beta2, eps
	chunks           int
	gradients        int64 // bytes that reading these, and reading and writing the averages, takes
	parameters       int64 // bytes that reading and writing these takes, their copies included
	begin            Launch
}

// adam lays out the tables of n, and the factors in w.
func (p *Planner) adam(n *graph.Node, w *workspace) adamUpdate {
	a := n.Attr.(graph.AdamAttr)
	u := adamUpdate{attr: a, rate: at(n.In[graph.UpdateRate]), factors: w.take(12)}
	u.weights = []Arg{f32(float32(1 - a.Beta1)), f32(float32(1 - a.Beta2)), f32(a.Eps)}
	var tensors []Arg
	for i, grad := range n.In[graph.UpdateGrads:] {
		param, m, v := n.Out[1+3*i], n.Out[2+3*i], n.Out[3+3*i]
		copied, decay := null(), int64(0)
		u.gradients += p.traffic(grad, m, m, v, v)
		u.parameters += p.traffic(param, param)
		if p.Copied(param) {
			copied = copyOf(param)
			u.parameters += int64(param.Shape.Elems() * p.Precision.Map().Size())
		}
		if a.Decay[i] {
			decay = 1
		}
		tensors = append(tensors, at(param), at(m), at(v), at(grad), copied, i64(int64(param.Shape.Elems())), i64(decay))
		u.params = append(u.params, param)
	}
	entries := chunks(u.params)
	u.tensors, u.entries, u.chunks = table(tensors...), table(entries...), len(entries)
	u.begin = Launch{Module: string(n.Op), Kernel: string(n.Op) + "_begin", Args: []Arg{
		u.factors, at(n.Out[0]), at(n.In[graph.UpdateScale]), at(n.In[graph.UpdateNorm]), f32(a.Clip), f64(a.Beta1), f64(a.Beta2),
	}}
	return u
}

// launch is one over all chunks.
func (u adamUpdate) launch(module, kernel string, bytes int64, args ...Arg) Launch {
	return Launch{Module: module, Kernel: kernel, Grid: Dim{X: u.chunks}, Block: Dim{X: chunkThreads}, Args: args, Bytes: bytes}
}

// adamW is a launch that counts the step, and one over all parameters.
func adamW(p *Planner, n *graph.Node) (Plan, error) {
	var w workspace
	u := p.adam(n, &w)
	args := append([]Arg{u.tensors, u.entries, u.factors, u.rate, f32(u.attr.WeightDecay)}, u.weights...)
	all := u.launch("adamw", "adamw_"+p.Precision.Map().String(), u.gradients+u.parameters, args...)
	return Plan{Scratch: w.bytes, Launches: []Launch{u.begin, all}}, nil
}
