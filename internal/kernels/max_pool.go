package kernels

import "senet/internal/graph"

func maxPool(p *Planner, n *graph.Node) (Plan, error) {
	x, y, position := n.In[0], n.Out[0], n.Out[1]
	return p.one(p.pool("max_pool", x, y, n.Attr.(graph.PoolAttr), at(y), at(position), at(x)), x, y, position)
}

func maxPoolGrad(p *Planner, n *graph.Node) (Plan, error) {
	dy, position, dx := n.In[0], n.In[1], n.Out[0]
	return p.one(p.poolGrad("max_pool", dx, dy, n.Attr.(graph.PoolAttr), at(dx), at(dy), at(position)), dy, position, dx)
}

// pool plans y (N, C, P, Q) from windows of x (N, C, H, W), of which a thread makes a vector of y at a time.
func (p *Planner) pool(module string, x, y *graph.Value, a graph.PoolAttr, addresses ...Arg) Launch {
	return p.poolWalk(module, module, x, y, y.Shape[2]*y.Shape[3], a, addresses)
}

// poolGrad plans the gradient dx of pool; a thread makes stride x stride vectors of it at a time (pool.cuh).
func (p *Planner) poolGrad(module string, dx, dy *graph.Value, a graph.PoolAttr, addresses ...Arg) Launch {
	squares := ceilDiv(dx.Shape[2]+a.Pad, a.Stride) * ceilDiv(dx.Shape[3]+a.Pad, a.Stride)
	return p.poolWalk(module, module+"_grad", dx, dy, squares, a, addresses)
}

// poolWalk plans kernel between the large map x and the pooled y, with as many units an image and vector of channels:
// kernel(addresses..., N, H, W, P, Q, C, window).
func (p *Planner) poolWalk(module, kernel string, x, y *graph.Value, units int, a graph.PoolAttr, addresses []Arg) Launch {
	n, h, w, c := mapDims(x)
	t := p.Type(x)
	v := width(t, c)
	args := append(
		addresses, i32(n), i32(h), i32(w), i32(y.Shape[2]), i32(y.Shape[3]), i32(c), i32(a.Kernel), i32(a.Stride), i32(a.Pad),
	)
	return p.walkUnits(module, variant(kernel, t, v), n*units*(c/v), args...)
}
