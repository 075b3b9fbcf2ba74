package kernels

import "senet/internal/graph"

func scale(p *Planner, n *graph.Node) (Plan, error) {
	x, gate, out := n.In[0], n.In[1], n.Out[0]
	s := p.writeStretches(x)
	return p.one(s.launch("scale", "scale", 1, at(out), at(x), at(gate), i32(s.hw), i32(s.c), i32(s.per)), x, gate, out)
}

func scaleGrad(p *Planner, n *graph.Node) (Plan, error) {
	dy, x, gate, dx, dgate := n.In[0], n.In[1], n.In[2], n.Out[0], n.Out[1]
	s := p.sumStretches(x, "scale_grad")
	var ws workspace
	to := at(dgate)
	if s.splits > 1 {
		to = ws.take(s.part(1, 1))
	}
	l := s.launch("scale", "scale_grad", 1, at(dx), to, at(dy), at(x), at(gate), i32(s.hw), i32(s.c), i32(s.per))
	l.Bytes = p.traffic(dx, dy, x, gate) + s.part(1, 1)
	launches := []Launch{l}
	if s.splits > 1 {
		launches = append(launches, p.joinSums(dgate, to, s))
	}
	return Plan{Launches: launches, Scratch: ws.bytes}, nil
}
