package kernels

import "senet/internal/graph"

const (
	foldThreads = 256 // as fold_squeeze.cu has them
	foldUnits   = 8
)

func foldSqueeze(p *Planner, n *graph.Node) (Plan, error) {
	w, w1, out, a := n.In[0], n.In[5], n.Out[0], n.Attr.(graph.FoldSqueezeAttr)
	hidden, channels, window := out.Shape[0], out.Shape[1], out.Shape[2]*out.Shape[3]
	args := make([]Arg, 0, 15)
	for _, v := range append(n.In[:7:7], n.Out...) {
		args = append(args, at(v))
	}
	return p.one(Launch{
		Module: "fold_squeeze", Kernel: "fold_squeeze",
		Grid: Dim{ceilDiv(window*channels, foldThreads), ceilDiv(hidden, foldUnits), 1}, Block: Dim{X: foldThreads},
		Args: append(args, i32(hidden), i32(w.Shape[0]), i32(channels), i32(window), i32(a.Groups), f32(a.Eps)),
	}, w, w1, out, n.Out[1])
}
