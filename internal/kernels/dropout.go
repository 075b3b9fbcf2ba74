package kernels

import "senet/internal/graph"

// dropout plans the forward and the gradient, which are the same.
func dropout(p *Planner, n *graph.Node) (Plan, error) {
	x, step, out, a := n.In[0], n.In[1], n.Out[0], n.Attr.(graph.DropoutAttr)
	pixels, hw, c := 1, 1, x.Shape.Elems() // where memory order is logical order
	if p.ChannelsLast(x) {
		c, hw = x.Shape[1], x.Shape[2]*x.Shape[3]
		pixels = x.Shape[0] * hw
	}
	t := p.Type(x)
	w := width(t, c)
	l := p.walk(
		"dropout", variant("dropout", t, w), out, w, at(out), at(x), at(step),
		i64(int64(a.Seed)), f32(a.Rate), f32(float32(1/(1-float64(a.Rate)))), i64(int64(pixels)), i32(hw), i32(c),
	)
	return p.one(l, x, step, out)
}
