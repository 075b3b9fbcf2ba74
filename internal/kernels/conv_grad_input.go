package kernels

import (
	"fmt"

	"senet/internal/graph"
)

func convGradInput(p *Planner, n *graph.Node) (Plan, error) {
	dy, w, dx := n.In[0], n.In[1], n.Out[0]
	d, err := convolutionOf(dx.Shape, w.Shape, dy.Shape, n.Attr.(graph.ConvAttr))
	if err != nil {
		return Plan{}, err
	}
	t := p.Precision.Map()
	bytes := p.Bytes(dy) + p.Bytes(dx) + int64(w.Shape.Elems()*t.Size())
	if d.direct() {
		return Plan{Launches: []Launch{{
			Module: "conv_grouped", Kernel: fmt.Sprintf("conv_grouped_input_%sx%d", t, groupedWidth(d.outputs())),
			Grid: p.groupedGrid(d.c, d.n*d.h*d.w), Block: Dim{X: 256}, Shared: d.filterBytes(d.outputs()),
			Args: append([]Arg{at(dy), copyOf(w), at(dx), i32(d.n)}, d.geometry()...), Bytes: bytes,
		}}}, nil
	}
	// A product for each residue of the pixels by the stride; the first has the most pixels, and of the taps as many
	// as any.
	residues, v := d.Stride*d.Stride, width(t, 0)
	m := product{
		rows: d.n * ceilDiv(d.h, d.Stride) * ceilDiv(d.w, d.Stride), columns: d.inputs(),
		depth: ceilDiv(d.r, d.Stride) * ceilDiv(d.s, d.Stride) * d.outputs(), batch: d.Groups * residues,
		aligned: d.inputs()%v == 0 && d.outputs()%v == 0,
	}
	c := p.cut(m)
	plan, partial := p.partialMaps(c, dx)
	plan.Launches = []Launch{{
		Module: "conv_grad_input", Kernel: "conv_grad_input_" + p.suffix(c.tile, m.aligned), Grid: c.grid(m), Block: Dim{X: 128},
		Shared: c.stageBytes() + c.windowBytes(),
		Args:   append(append([]Arg{at(dy), copyOf(w), at(dx), partial, i32(d.n)}, d.geometry()...), i32(c.share)),
		Bytes:  bytes + plan.Scratch,
	}}
	if c.splits > 1 {
		plan.Launches = append(plan.Launches, p.convSum(partial, c.splits, nil, nil, nil, dx, false))
	}
	return plan, nil
}
