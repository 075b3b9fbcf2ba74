package kernels

import (
	"errors"
	"slices"

	"senet/internal/graph"
)

const tailGradModule = "bn_se_add_relu_grad"

// tailGrad is the operands of the gradient of the block tail, or of a plain batch norm with the rest nil.
type tailGrad struct {
	tail                             // the forward's
	dout, dout2, mask *graph.Value   // mask is the forward's out, nil where it is not needed
	grads             []*graph.Value // of tail.in, nil where not wanted
}

func (t tailGrad) gate() *graph.Value { return t.out[graph.TailGate] }

func bnSEAddReLUGrad(p *Planner, n *graph.Node) (Plan, error) {
	t := tailGrad{
		tail: tail{
			in:   n.In[graph.TailGradIn : graph.TailGradIn+graph.TailShortcutBeta+1],
			out:  n.In[graph.TailGradSaved:], // its place of TailOut is another operand's and not read
			attr: n.Attr.(graph.BNSEAddReLUAttr),
		},
		dout: n.In[graph.TailGradDOut], dout2: n.In[graph.TailGradDOut2], mask: n.In[graph.TailGradOut], grads: n.Out,
	}
	if !t.attr.ReLU {
		t.mask = nil
	} else if t.mask == nil && (t.projects() || t.grads[graph.TailShortcut] != nil) {
		return Plan{}, errors.New("a ReLU over a shortcut needs the forward's output as its mask")
	}
	return p.tailGrad(t), nil
}

// kind names where the passes over the maps find the ReLU's mask, see bn_se_add_relu_grad.cu.
func (t tailGrad) kind() string {
	switch {
	case t.projects():
		return "projection"
	case t.attr.ReLU && t.mask == nil:
		return "y"
	}
	return "out"
}

func (t tailGrad) sumsKernel() string { return "bn_se_add_relu_grad_sums_" + t.kind() }

// tailGrad plans the backward pass: sums over the maps, back through the SE block, the gradients of the channels'
// parameters, and what is written with them.
func (p *Planner) tailGrad(t tailGrad) Plan {
	var ws workspace
	kinds, maps := 2, 1
	if t.projects() {
		kinds, maps = 3, 2
	}
	s := p.sumStretches(t.y(), t.sumsKernel())
	part := ws.take(s.part(1, kinds))
	launches := []Launch{p.tailGradSums(t, s, kinds, part)}
	dz := null()
	if t.gate() != nil {
		var se []Launch
		se, dz = p.exciteGrad(&ws, t, s, kinds, part)
		launches = append(launches, se...)
	}
	coefficients := []Arg{ws.take(int64(3*s.c) * 4), null()} // of y and of the projection
	if t.projects() {
		coefficients[1] = ws.take(int64(3*s.c) * 4)
	}
	join := func(dgamma, dbeta, dgamma2, dbeta2 Arg) Launch {
		l := s.gather(tailGradModule, "bn_se_add_relu_grad_channels", maps, slices.Concat(
			[]Arg{part}, t.norm(t.out), []Arg{at(t.gate()), at(t.out[graph.TailImageMean]), dz},
			[]Arg{dgamma, dbeta, coefficients[0]}, t.shortcutNorm(t.out), []Arg{dgamma2, dbeta2, coefficients[1]},
			[]Arg{i32(s.n), i32(s.splits), i32(kinds), i32(s.hw), i32(s.c)},
		)...)
		l.Bytes = s.part(1, kinds)
		if t.gate() != nil {
			l.Bytes += 3 * p.Bytes(t.gate()) // the image means and dz too
		}
		return l
	}
	g := t.grads
	if t.attr.Sync > 1 {
		launches = append(launches, p.syncGradients(&ws, t, maps, s.n*s.hw, coefficients, join)...)
	} else {
		launches = append(launches, join(at(g[graph.TailGamma]), at(g[graph.TailBeta]), at(g[graph.TailShortcutGamma]), at(g[graph.TailShortcutBeta])))
	}
	return Plan{Launches: append(launches, p.tailGradWrite(t, dz, coefficients)...), Scratch: ws.bytes}
}

// tailGradSums plans the pass that sums; an identity shortcut's gradient is written by it.
func (p *Planner) tailGradSums(t tailGrad, s stretches, kinds int, part Arg) Launch {
	var x, dx *graph.Value
	if t.projects() {
		x = t.in[graph.TailShortcut]
	} else {
		dx = t.grads[graph.TailShortcut]
	}
	l := s.launch(tailGradModule, t.sumsKernel(), 1, slices.Concat(
		[]Arg{at(t.dout), at(t.dout2), at(t.mask), at(t.y()), at(x), at(dx)}, t.norm(t.out),
		[]Arg{at(t.gate()), at(t.out[graph.TailShortcutMean]), part, i32(s.hw), i32(s.c), i32(s.per)},
	)...)
	l.Bytes = p.traffic(t.dout, t.dout2, t.mask, t.y(), x, dx) + s.part(1, kinds)
	return l
}

// exciteGrad plans the way back through the SE block from the partial sums to dz (N, C), which it returns.
func (p *Planner) exciteGrad(ws *workspace, t tailGrad, s stretches, kinds int, part Arg) ([]Launch, Arg) {
	const module = "excitation_grad"
	b := seBlockOf(s.n, t.in[graph.TailW1:graph.TailB2+1])
	hidden, mean, g := t.out[graph.TailHidden], t.out[graph.TailImageMean], t.grads
	pairs, units, weight := int64(b.n*b.c)*4, int64(b.n*b.r)*4, p.Bytes(b.w1)
	grid, per, parts := p.sumOverChannels(b.n, b.c, b.r)
	sums, dlogit, dhidden, dz := ws.take(int64(parts)*units), ws.take(pairs), ws.take(units), ws.take(pairs)
	sizes := []Arg{i32(b.n), i32(b.c), i32(b.r)}
	block := Dim{X: productThreads}
	return []Launch{{
		Module: module, Kernel: "excitation_grad_hidden", Grid: grid, Block: block,
		Args: slices.Concat(
			[]Arg{sums, dlogit, part, i32(s.splits), i32(kinds)}, t.norm(t.out), []Arg{at(t.gate()), at(b.w2)}, sizes, []Arg{i32(per)},
		),
		Bytes: int64(2*s.splits+2)*pairs + weight + int64(parts)*units,
	}, {
		Module: module, Kernel: "excitation_grad_squeeze", Block: block,
		Grid:  Dim{ceilDiv(b.c, productWide), ceilDiv(b.n, productTile), 1},
		Args:  slices.Concat([]Arg{dz, dhidden, sums, i32(parts), at(hidden), at(b.w1)}, sizes),
		Bytes: int64(parts+2)*units + weight + pairs,
	}, {
		Module: module, Kernel: "excitation_grad_weights", Block: block,
		Grid: Dim{X: 2 * ceilDiv(b.c, productTile) * ceilDiv(b.r, productTile)},
		Args: slices.Concat(
			[]Arg{at(g[graph.TailW1]), at(g[graph.TailB1]), at(g[graph.TailW2]), at(g[graph.TailB2]), dlogit, dhidden, at(hidden), at(mean)},
			t.norm(t.out), sizes,
		),
		Bytes: 2*pairs + 2*units + 2*weight,
	}}, dz
}

// tailGradWrite plans the pass that writes dy and a projection's gradient, as far as they are wanted.
func (p *Planner) tailGradWrite(t tailGrad, dz Arg, coefficients []Arg) []Launch {
	dy, dx, x, gate, kind := t.grads[graph.TailY], t.grads[graph.TailShortcut], t.in[graph.TailShortcut], t.gate(), t.kind()
	y, dout, dout2, mask, of := t.y(), t.dout, t.dout2, t.mask, coefficients[0]
	switch {
	case !t.projects():
		if dx != nil { // an identity's, which already is what the mask leaves
			dout, dout2, mask = dx, nil, nil
		}
		x, dx = nil, nil
	case dx == nil:
		kind, x = "out", nil
	case dy == nil: // the projection alone takes the place of y, without an SE block
		kind, dy, y, of, gate, dz = "out", dx, x, coefficients[1], nil, null()
		x, dx = nil, nil
	}
	if dy == nil {
		return nil
	}
	s := p.writeStretches(y)
	l := s.launch(tailGradModule, "bn_se_add_relu_grad_"+kind, 1, slices.Concat(
		[]Arg{at(dy), at(dx), at(dout), at(dout2), at(mask), at(y), at(x)}, t.norm(t.out),
		[]Arg{at(gate), dz, of, coefficients[1], i32(s.hw), i32(s.c), i32(s.per)},
	)...)
	l.Bytes = p.traffic(dy, dx, dout, dout2, mask, y, x)
	return []Launch{l}
}
