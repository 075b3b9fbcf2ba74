package kernels

import (
	"fmt"

	"senet/internal/graph"
)

func convGradWeight(p *Planner, n *graph.Node) (Plan, error) {
	dy, x, dw, db := n.In[0], n.In[1], n.Out[0], n.Out[1]
	d, err := convolutionOf(x.Shape, dw.Shape, dy.Shape, n.Attr.(graph.ConvAttr))
	if err != nil {
		return Plan{}, err
	}
	var ws workspace
	var launches []Launch
	if d.direct() {
		launches = p.groupedWeight(&ws, d, dy, x, dw)
	} else {
		launches = p.weightProduct(&ws, d, dy, x, dw)
	}
	if db != nil {
		launches = append(launches, p.biasGradient(&ws, d, dy, db)...)
	}
	return Plan{Launches: launches, Scratch: ws.bytes}, nil
}

// sharedSums is where `shares` partial sums of v go, v itself if there is one share, and the launch that adds them.
func (p *Planner) sharedSums(ws *workspace, v *graph.Value, shares int) (Arg, []Launch) {
	if shares == 1 {
		return at(v), nil
	}
	count := v.Shape.Elems()
	parts := ws.take(int64(shares) * int64(count) * 4)
	return parts, []Launch{{
		Module: "conv_grad_weight", Kernel: "conv_grad_weight_sum",
		Grid: Dim{X: min(ceilDiv(count, 32), 32*p.SMs)}, Block: Dim{X: 256},
		Args: []Arg{parts, at(v), i32(shares), i32(count)}, Bytes: int64(shares+1) * int64(count) * 4,
	}}
}

func (p *Planner) weightProduct(ws *workspace, d convolution, dy, x, dw *graph.Value) []Launch {
	v := width(p.Precision.Map(), 0)
	m := product{
		rows: d.outputs(), columns: d.r * d.s * d.inputs(), depth: d.pixels(), batch: d.Groups,
		aligned: d.inputs()%v == 0 && d.outputs()%v == 0,
	}
	c := p.cut(m)
	to, sum := p.sharedSums(ws, dw, c.splits)
	return append([]Launch{{
		Module: "conv_grad_weight", Kernel: "conv_grad_weight_" + p.suffix(c.tile, m.aligned), Grid: c.grid(m), Block: Dim{X: 128},
		Shared: c.stageBytes(),
		Args:   append(append([]Arg{at(dy), at(x), to, i32(d.n)}, d.geometry()...), i32(c.share)),
		Bytes:  p.Bytes(dy) + p.Bytes(x) + int64(c.splits)*p.Bytes(dw),
	}}, sum...)
}

// groupedWeight is the gradient of the weight of a convolution with many small groups.
func (p *Planner) groupedWeight(ws *workspace, d convolution, dy, x, dw *graph.Value) []Launch {
	w := groupedWidth(d.inputs())
	const taps, blocks = 3, 8 // taps of a thread, as in conv_grouped.cu; blocks of a multiprocessor
	g := Dim{X: ceilDiv(d.k, 32), Y: d.r * ceilDiv(d.s, taps) * (d.inputs() / w)}
	g.Z = shares(d.pixels(), blocks*p.SMs/(g.X*g.Y))
	to, sum := p.sharedSums(ws, dw, g.Z)
	return append([]Launch{{
		Module: "conv_grouped", Kernel: fmt.Sprintf("conv_grouped_weight_%sx%d", p.Type(x), w), Grid: g, Block: Dim{X: 256},
		Args:  append([]Arg{at(dy), at(x), to, i32(d.n)}, d.geometry()...),
		Bytes: p.Bytes(dy) + p.Bytes(x) + int64(g.Z)*p.Bytes(dw),
	}}, sum...)
}

// biasGradient is the sum of dy over pixels.
func (p *Planner) biasGradient(ws *workspace, d convolution, dy, db *graph.Value) []Launch {
	t := p.Type(dy)
	w := width(t, d.k)
	g := Dim{X: ceilDiv(d.k, 32*w)}
	g.Y = shares(d.pixels(), 4*p.SMs/g.X)
	to, sum := p.sharedSums(ws, db, g.Y)
	return append([]Launch{{
		Module: "conv_grad_weight", Kernel: fmt.Sprintf("conv_grad_weight_bias_%sx%d", t, w), Grid: g, Block: Dim{X: 256},
		Args: []Arg{at(dy), to, i32(d.pixels()), i32(d.k)}, Bytes: p.Bytes(dy) + int64(g.Y)*p.Bytes(db),
	}}, sum...)
}

// shares splits pixels into as many parts as wanted, of at least 64.
func shares(pixels, wanted int) int { return max(1, min(wanted, pixels/64)) }
