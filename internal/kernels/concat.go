package kernels

import (
	"fmt"

	"senet/internal/graph"
)

func concat(p *Planner, n *graph.Node) (Plan, error) {
	return p.joining("concat", n.Out[0], n.In, n.Attr.(graph.ConcatAttr).Channels)
}

func concatGrad(p *Planner, n *graph.Node) (Plan, error) {
	return p.joining("concat_grad", n.In[0], n.Out, n.Attr.(graph.ConcatAttr).Channels)
}

// joining plans kernel between the whole (N, C, H, W) and the maps (N, Ci, H, W), nil where not wanted.
func (p *Planner) joining(kernel string, whole *graph.Value, maps []*graph.Value, channels []int) (Plan, error) {
	t := p.Type(whole)
	unit := width(t, whole.Shape[1]) // elements
	for _, c := range channels {
		unit = min(unit, width(t, c))
	}
	var entries []Arg // Map of concat.cu
	end := 0
	for i, c := range channels {
		end += c
		entries = append(entries, at(maps[i]), i64(int64(end/unit)))
	}
	n, h, w, c := mapDims(whole)
	l := p.walk(
		"concat", fmt.Sprintf("%s_b%d", kernel, unit*t.Size()), whole, unit,
		at(whole), table(entries...), i64(int64(n)*int64(h)*int64(w)), i32(c/unit),
	)
	plan, err := p.one(l, maps...)
	plan.Launches[0].Bytes *= 2 // once in the maps, once in the whole
	return plan, err
}
