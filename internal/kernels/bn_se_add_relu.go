package kernels

import (
	"math"

	"senet/internal/graph"
)

// tail is the operands of the fused block tail, or of a plain batch norm with the rest nil.
type tail struct {
	in, out []*graph.Value // as BNSEAddReLU has them
	attr    graph.BNSEAddReLUAttr
}

func (t tail) y() *graph.Value { return t.in[graph.TailY] }

func (t tail) projects() bool { return t.in[graph.TailShortcutGamma] != nil }

// norm and shortcutNorm are the arguments that normalise y and a raw projection. saved has the forward's outputs.
func (t tail) norm(saved []*graph.Value) []Arg {
	return norm(t.in[graph.TailGamma], t.in[graph.TailBeta], saved[graph.TailMean], saved[graph.TailVar], t.attr.Eps)
}

func (t tail) shortcutNorm(saved []*graph.Value) []Arg {
	return norm(
		t.in[graph.TailShortcutGamma], t.in[graph.TailShortcutBeta], saved[graph.TailShortcutMean], saved[graph.TailShortcutVar], t.attr.ShortcutEps,
	)
}

func bnSEAddReLU(p *Planner, n *graph.Node) (Plan, error) {
	return p.tail(tail{in: n.In, out: n.Out, attr: n.Attr.(graph.BNSEAddReLUAttr)}), nil
}

// tail plans the forward pass: statistics, the SE block, and what is written with them.
func (p *Planner) tail(t tail) Plan {
	var ws workspace
	launches := p.tailStatistics(&ws, t)
	if t.in[graph.TailW1] != nil {
		b := seBlockOf(t.y().Shape[0], t.in[graph.TailW1:graph.TailB2+1])
		launches = append(launches, p.excite(&ws, b, t.out[graph.TailImageMean], t.norm(t.out), t.out[graph.TailHidden], t.out[graph.TailGate])...)
	}
	return Plan{Launches: append(launches, p.tailApply(t)), Scratch: ws.bytes}
}

// tailStatistics plans the mean and variance of y and of a raw projection, and y's image means where they are wanted.
func (p *Planner) tailStatistics(ws *workspace, t tail) []Launch {
	const module = "bn_se_add_relu"
	y, projection, maps := t.y(), (*graph.Value)(nil), 1
	if t.projects() {
		projection, maps = t.in[graph.TailShortcut], 2
	}
	s := p.sumStretches(y, "bn_se_add_relu_sums")
	bytes := s.part(maps, 2)
	part := ws.take(bytes)
	sums := s.launch(module, "bn_se_add_relu_sums", maps, at(y), at(projection), part, i32(s.n), i32(s.hw), i32(s.c), i32(s.per))
	sums.Bytes = p.traffic(y, projection) + bytes
	out := t.out
	join := func(mean, variance, mean2, variance2 Arg) Launch {
		l := s.gather(
			module, "bn_se_add_relu_statistics", maps, part, mean, variance, at(out[graph.TailImageMean]), mean2, variance2,
			i32(s.n), i32(s.splits), i32(s.hw), i32(s.c), i32(s.per),
		)
		l.Bytes = bytes + p.traffic(out[graph.TailMean], out[graph.TailVar], out[graph.TailImageMean], out[graph.TailShortcutMean], out[graph.TailShortcutVar])
		return l
	}
	if t.attr.Sync > 1 {
		return append([]Launch{sums}, p.syncStatistics(ws, t, maps, join)...)
	}
	return []Launch{sums, join(at(out[graph.TailMean]), at(out[graph.TailVar]), at(out[graph.TailShortcutMean]), at(out[graph.TailShortcutVar]))}
}

// tailApply plans the pass that writes out.
func (p *Planner) tailApply(t tail) Launch {
	out, x, gate := t.out[graph.TailOut], t.in[graph.TailShortcut], t.out[graph.TailGate]
	kernel, floor := "bn_se_add_relu_none", float32(math.Inf(-1))
	switch {
	case t.projects():
		kernel = "bn_se_add_relu_projection"
	case x != nil:
		kernel = "bn_se_add_relu_identity"
	}
	if t.attr.ReLU {
		floor = 0
	}
	s := p.writeStretches(t.y())
	args := append([]Arg{at(out), at(t.y())}, t.norm(t.out)...)
	args = append(append(args, at(gate), at(x)), t.shortcutNorm(t.out)...)
	l := s.launch("bn_se_add_relu", kernel, 1, append(args, f32(floor), i32(s.hw), i32(s.c), i32(s.per))...)
	l.Bytes = p.traffic(out, t.y(), x, gate)
	return l
}
