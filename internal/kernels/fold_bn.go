package kernels

import (
	"fmt"

	"senet/internal/graph"
)

func foldBN(p *Planner, n *graph.Node) (Plan, error) {
	w, out, bias := n.In[0], n.Out[0], n.Out[1]
	t, copied, bytes := F32, null(), 2*p.Bytes(w)+5*p.Bytes(bias)
	if p.Copied(out) {
		t, copied = p.Precision.Map(), copyOf(out)
		bytes += int64(out.Shape.Elems() * t.Size())
	}
	args := []Arg{at(w), at(n.In[1]), at(n.In[2]), at(n.In[3]), at(n.In[4]), at(out), copied, at(bias)}
	launches := []Launch{{
		Module: "fold_bn", Kernel: fmt.Sprintf("fold_bn_%s", t), Grid: Dim{X: w.Shape[0]}, Block: Dim{X: 128},
		Args:  append(args, i32(w.Shape.Elems()/w.Shape[0]), f32(n.Attr.(graph.BatchNormAttr).Eps)),
		Bytes: bytes,
	}}
	if p.Copied(bias) {
		launches = append(launches, Cast(bias, p.Precision.Map()))
	}
	return Plan{Launches: launches}, nil
}
