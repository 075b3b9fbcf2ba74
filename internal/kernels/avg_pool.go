package kernels

import "senet/internal/graph"

func avgPool(p *Planner, n *graph.Node) (Plan, error) {
	x, y := n.In[0], n.Out[0]
	return p.one(p.pool("avg_pool", x, y, n.Attr.(graph.PoolAttr), at(y), at(x)), x, y)
}

func avgPoolGrad(p *Planner, n *graph.Node) (Plan, error) {
	dy, dx := n.In[0], n.Out[0]
	return p.one(p.poolGrad("avg_pool", dx, dy, n.Attr.(graph.PoolAttr), at(dx), at(dy)), dy, dx)
}
