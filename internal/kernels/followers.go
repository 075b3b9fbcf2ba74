package kernels

import "senet/internal/graph"

// followers is one launch over tensors that each follow another one, or none where from is nil.
func (p *Planner) followers(op graph.Op, to, from []*graph.Value, args ...Arg) (Plan, error) {
	var tensors []Arg
	bytes := p.traffic(to...)
	for i, v := range to {
		source := null()
		if from != nil {
			source = at(from[i])
			bytes += p.traffic(v, from[i]) // and v is read
		}
		tensors = append(tensors, at(v), source, i64(int64(v.Shape.Elems())))
	}
	entries := chunks(to)
	return Plan{Launches: []Launch{{
		Module: string(op), Kernel: string(op), Grid: Dim{X: len(entries)}, Block: Dim{X: chunkThreads},
		Args: append([]Arg{table(tensors...), table(entries...)}, args...), Bytes: bytes,
	}}}, nil
}

func gradSum(p *Planner, n *graph.Node) (Plan, error) {
	return p.followers(n.Op, n.Out[1:], n.In[1:], at(n.Out[0]), at(n.In[0]))
}

func clearAll(p *Planner, n *graph.Node) (Plan, error) { return p.followers(n.Op, n.Out, nil) }

func ema(p *Planner, n *graph.Node) (Plan, error) {
	return p.followers(n.Op, n.Out, n.In, f32(float32(1-n.Attr.(graph.EMAAttr).Decay)))
}
