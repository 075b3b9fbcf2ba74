package kernels

import "senet/internal/graph"

func maxPool(p *Planner, n *graph.Node) (Plan, error) {
	x, y, position := n.In[0], n.Out[0], n.Out[1]
	l := p.pool("max_pool", "max_pool", x, y, y, n.Attr.(graph.PoolAttr), at(y), at(position), at(x))
	return p.one(l, x, y, position)
}

func maxPoolGrad(p *Planner, n *graph.Node) (Plan, error) {
	dy, position, dx := n.In[0], n.In[1], n.Out[0]
	l := p.pool("max_pool", "max_pool_grad", dx, dy, dx, n.Attr.(graph.PoolAttr), at(dx), at(dy), at(position))
	return p.one(l, dy, position, dx)
}

// pool plans kernel between the large map x (N, C, H, W) and the pooled y (N, C, P, Q); it makes out, one of them:
// kernel(addresses..., pixels of out, H, W, P, Q, C, window).
func (p *Planner) pool(module, kernel string, x, y, out *graph.Value, a graph.PoolAttr, addresses ...Arg) Launch {
	n, oh, ow, c := mapDims(out)
	t := p.Type(out)
	w := width(t, c)
	args := append(
		addresses, i64(int64(n)*int64(oh)*int64(ow)), i32(x.Shape[2]), i32(x.Shape[3]), i32(y.Shape[2]), i32(y.Shape[3]), i32(c),
		i32(a.Kernel), i32(a.Stride), i32(a.Pad),
	)
	return p.walk(module, variant(kernel, t, w), out, w, args...)
}
