package kernels

import "senet/internal/graph"

// globalMaxPool gives a block up to 32 vectors of channels, so that it reads 512 bytes of a pixel at once, and shares the
// pixels among its threads.
func globalMaxPool(p *Planner, n *graph.Node) (Plan, error) {
	const threads, most = 256, 32 // THREADS of global_max_pool.cu
	x, y, pixel := n.In[0], n.Out[0], n.Out[1]
	images, h, w, c := mapDims(x)
	t := p.Type(x)
	v := width(t, c)
	lanes := 1
	for lanes < most && lanes < c/v {
		lanes *= 2
	}
	groups := ceilDiv(c/v, lanes)
	return p.one(Launch{
		Module: "global_max_pool", Kernel: variant("global_max_pool", t, v), Grid: Dim{X: images * groups}, Block: Dim{X: threads},
		Args: []Arg{at(y), at(pixel), at(x), i32(h * w), i32(c), i32(lanes), i32(groups)},
	}, x, y, pixel)
}

func globalMaxPoolGrad(p *Planner, n *graph.Node) (Plan, error) {
	dy, pixel, dx := n.In[0], n.In[1], n.Out[0]
	images, h, w, c := mapDims(dx)
	t := p.Type(dx)
	v := width(t, c)
	l := p.walk(
		"global_max_pool", variant("global_max_pool_grad", t, v), dx, v,
		at(dx), at(dy), at(pixel), i32(images), i32(h*w), i32(c),
	)
	return p.one(l, dy, pixel, dx)
}
