package kernels

import "senet/internal/graph"

// plainTail has n's attributes and room for its operands.
func plainTail(n *graph.Node) tail {
	a := n.Attr.(graph.BatchNormAttr)
	return tail{
		in:   make([]*graph.Value, graph.TailShortcutBeta+1),
		out:  make([]*graph.Value, graph.TailShortcutVar+1),
		attr: graph.BNSEAddReLUAttr{Eps: a.Eps, Sync: a.Sync},
	}
}

// batchNorm is the block tail with nothing after the normalisation.
func batchNorm(p *Planner, n *graph.Node) (Plan, error) {
	t := plainTail(n)
	copy(t.in, n.In[:3])
	copy(t.out, n.Out)
	return p.tail(t), nil
}

func batchNormGrad(p *Planner, n *graph.Node) (Plan, error) {
	t := tailGrad{
		tail: plainTail(n),
		dout: n.In[0], grads: make([]*graph.Value, graph.TailShortcutBeta+1),
	}
	t.in[graph.TailY], t.in[graph.TailGamma] = n.In[1], n.In[2] // beta matters to a ReLU's mask and to SE alone
	t.out[graph.TailMean], t.out[graph.TailVar] = n.In[3], n.In[4]
	copy(t.grads, n.Out)
	return p.tailGrad(t), nil
}
