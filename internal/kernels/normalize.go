package kernels

import (
	"math"

	"senet/internal/graph"
)

func normalize(p *Planner, n *graph.Node) (Plan, error) {
	image, out, a := n.In[0], n.Out[0], n.Attr.(graph.NormalizeAttr)
	var channels []Arg // Affine of normalize.cu: the scale in the lower half
	for i := range a.Mean {
		scale, shift := float32(1/(255*float64(a.Std[i]))), float32(-float64(a.Mean[i])/float64(a.Std[i]))
		channels = append(channels, i64(int64(uint64(math.Float32bits(shift))<<32|uint64(math.Float32bits(scale)))))
	}
	t, count := p.Type(out), out.Shape.Elems()
	w := width(t, count)
	l := p.walk("normalize", variant("normalize", t, w), out, w, at(out), at(image), table(channels...), i64(int64(count)), i32(len(channels)))
	return p.one(l, image, out)
}
