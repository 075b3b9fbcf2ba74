package cli

import (
	"cmp"
	"slices"
	"time"

	"senet/internal/backend"
	"senet/internal/graph"
)

// opShare is what one op takes of a step.
type opShare struct {
	Op           string  `json:"op"`
	Runs         int     `json:"runs"` // nodes of a step
	Milliseconds float64 `json:"milliseconds"`
	Percent      float64 `json:"percent"`
}

// shares sums the times of a profile's steps by op, the greatest first. It also returns what share convolutions and
// their gradients take, and their GFLOP/s, a multiply-add counted as two.
func shares(nodes []backend.NodeTime) (all []opShare, convPercent, convGFLOPs float64) {
	byOp := map[graph.Op]*opShare{}
	total, conv, flops := 0.0, 0.0, 0.0
	for _, n := range nodes {
		if n.Runs == 0 {
			continue // of a phase that is no part of a step
		}
		s := byOp[n.Node.Op]
		if s == nil {
			s = &opShare{Op: string(n.Node.Op)}
			byOp[n.Node.Op] = s
		}
		ms := float64(n.Total) / float64(time.Millisecond) / float64(n.Runs)
		s.Runs++
		s.Milliseconds += ms
		total += ms
		if macs := convMACs(n.Node); macs > 0 {
			conv += ms
			flops += 2 * macs
		}
	}
	for _, s := range byOp {
		s.Percent = 100 * s.Milliseconds / total
		all = append(all, *s)
	}
	slices.SortFunc(all, func(a, b opShare) int {
		return cmp.Or(cmp.Compare(b.Milliseconds, a.Milliseconds), cmp.Compare(a.Op, b.Op))
	})
	if conv == 0 {
		return all, 0, 0
	}
	return all, 100 * conv / total, flops / conv / 1e6
}

// convMACs is the multiply-adds of a convolution or of one of its gradients, which take as many; 0 for another op.
func convMACs(n *graph.Node) float64 {
	var y, w *graph.Value // (N, K, P, Q), (K, C/groups, R, S)
	switch n.Op {
	case graph.Conv:
		y, w = n.Out[0], n.In[1]
	case graph.ConvGradInput:
		y, w = n.In[0], n.In[1]
	case graph.ConvGradWeight:
		y, w = n.In[0], n.Out[0]
	default:
		return 0
	}
	return float64(y.Shape.Elems()) * float64(w.Shape[1:].Elems())
}
