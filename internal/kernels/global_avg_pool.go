package kernels

import "senet/internal/graph"

const pixelSumsKernel = "global_avg_pool_sums"

// pixelSums plans the sums over the pixels of each stretch of x, times scale: to (N, splits, C).
func (p *Planner) pixelSums(x *graph.Value, s stretches, to Arg, scale float32) Launch {
	l := s.launch("global_avg_pool", pixelSumsKernel, 1, to, at(x), f32(scale), i32(s.hw), i32(s.c), i32(s.per))
	l.Bytes = p.Bytes(x) + s.part(1, 1)
	return l
}

// joinSums plans out (N, C) = the sums of part (N, splits, C) over the stretches.
func (p *Planner) joinSums(out *graph.Value, part Arg, s stretches) Launch {
	pairs := s.n * s.c
	l := p.walk("global_avg_pool", "global_avg_pool_join", out, 1, at(out), part, i64(int64(pairs)), i32(s.splits), i32(s.c))
	l.Bytes = s.part(1, 1) + p.Bytes(out)
	return l
}

func globalAvgPool(p *Planner, n *graph.Node) (Plan, error) {
	x, out := n.In[0], n.Out[0]
	s := p.sumStretches(x, pixelSumsKernel)
	share := 1 / float32(s.hw)
	if s.splits == 1 {
		return Plan{Launches: []Launch{p.pixelSums(x, s, at(out), share)}}, nil
	}
	var ws workspace
	part := ws.take(s.part(1, 1))
	return Plan{Launches: []Launch{p.pixelSums(x, s, part, share), p.joinSums(out, part, s)}, Scratch: ws.bytes}, nil
}

func globalAvgPoolGrad(p *Planner, n *graph.Node) (Plan, error) {
	dy, dx := n.In[0], n.Out[0]
	s := p.writeStretches(dx)
	return p.one(s.launch("global_avg_pool", "global_avg_pool_grad", 1, at(dx), at(dy), i32(s.hw), i32(s.c), i32(s.per)), dy, dx)
}
