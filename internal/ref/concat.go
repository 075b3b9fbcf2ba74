package ref

import "senet/internal/graph"

// stretches calls f with each image of each map of a concatenation: where its channels start in the whole (N, C, H, W),
// where they start in the map itself, and how many elements they are.
func stretches(whole *graph.Value, a graph.ConcatAttr, f func(i, in, at, count int)) {
	hw := whole.Shape[2] * whole.Shape[3]
	first := 0
	for i, c := range a.Channels {
		for n := range whole.Shape[0] {
			f(i, (n*whole.Shape[1]+first)*hw, n*c*hw, c*hw)
		}
		first += c
	}
}

func concat(o operands) {
	stretches(o.node.Out[0], o.node.Attr.(graph.ConcatAttr), func(i, in, at, count int) {
		copy(o.out[0][in:][:count], o.in[i][at:])
	})
}

func concatGrad(o operands) {
	stretches(o.node.In[0], o.node.Attr.(graph.ConcatAttr), func(i, in, at, count int) {
		if dx := o.out[i]; dx != nil {
			copy(dx[at:][:count], o.in[0][in:])
		}
	})
}
