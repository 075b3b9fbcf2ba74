package kernels

import (
	"slices"

	"senet/internal/graph"
)

const syncThreads = 128 // of a block of sync_bn.cu: a thread has a channel

// exchange is room for numbers of each channel, kinds of them for each map, that the ranks exchange.
type exchange struct {
	own   []Arg // (C) each, one behind the other: what this rank has
	all   Arg   // what comes back
	count int64 // of own, all together
}

func (ws *workspace) exchange(c, numbers, rows int) exchange {
	e := exchange{count: int64(numbers * c)}
	start := ws.take(4 * e.count)
	for k := range numbers {
		e.own = append(e.own, scratch(start.Offset+int64(4*k*c)))
	}
	e.all = ws.take(4 * e.count * int64(rows))
	return e
}

// syncStatistics is the mean and variance of y, and of a raw projection, over all ranks, of the launch that finds this rank's:
// join makes that launch, given where to put them.
func (p *Planner) syncStatistics(ws *workspace, t tail, maps int, join func(mean, variance, mean2, variance2 Arg) Launch) []Launch {
	c, ranks, out := t.y().Shape[1], t.attr.Sync, t.out
	e := ws.exchange(c, 2*maps, ranks)
	own := append(slices.Clone(e.own), null(), null())
	return []Launch{
		join(own[0], own[1], own[2], own[3]),
		{Collective: &Collective{Gather: true, Type: F32, From: e.own[0], To: e.all, Count: e.count}},
		{
			Module: "sync_bn", Kernel: "sync_bn_statistics", Grid: Dim{ceilDiv(c, syncThreads), maps, 1}, Block: Dim{X: syncThreads},
			Args: []Arg{
				e.all, at(out[graph.TailMean]), at(out[graph.TailVar]), at(out[graph.TailShortcutMean]), at(out[graph.TailShortcutVar]),
				i32(ranks), i32(c),
			},
			Bytes: 4 * e.count * int64(ranks+1),
		},
	}
}

// syncGradients is the gradients of gamma and beta and the coefficients of the pass that writes, of the launch that finds this
// rank's: join makes that launch, given where to put the gradients.
func (p *Planner) syncGradients(ws *workspace, t tailGrad, maps, count int, coefficients []Arg, join func(dgamma, dbeta, dgamma2, dbeta2 Arg) Launch) []Launch {
	c, ranks, g, in, saved := t.y().Shape[1], t.attr.Sync, t.grads, t.in, t.out
	e := ws.exchange(c, 2*maps, 1)
	own := append(slices.Clone(e.own), null(), null())
	return []Launch{
		join(own[0], own[1], own[2], own[3]),
		{Collective: &Collective{Type: F32, From: e.own[0], To: e.all, Count: e.count}},
		{
			Module: "sync_bn", Kernel: "sync_bn_gradient", Grid: Dim{ceilDiv(c, syncThreads), maps, 1}, Block: Dim{X: syncThreads},
			Args: []Arg{
				e.own[0], e.all,
				at(in[graph.TailGamma]), at(saved[graph.TailMean]), at(saved[graph.TailVar]), f32(t.attr.Eps),
				at(g[graph.TailGamma]), at(g[graph.TailBeta]), coefficients[0],
				at(in[graph.TailShortcutGamma]), at(saved[graph.TailShortcutMean]), at(saved[graph.TailShortcutVar]), f32(t.attr.ShortcutEps),
				at(g[graph.TailShortcutGamma]), at(g[graph.TailShortcutBeta]), coefficients[1],
				i32(ranks), i32(count), i32(c),
			},
			Bytes: 4 * 5 * e.count,
		},
	}
}
