package kernels

import (
	"fmt"

	"senet/internal/graph"
)

func conv(p *Planner, n *graph.Node) (Plan, error) {
	x, w, bias, gate, residual, y := n.In[0], n.In[1], n.In[2], n.In[3], n.In[4], n.Out[0]
	d, err := convolutionOf(x.Shape, w.Shape, y.Shape, n.Attr.(graph.ConvAttr))
	if err != nil {
		return Plan{}, err
	}
	t := p.Precision.Map()
	bytes := p.Bytes(x) + p.Bytes(y) + int64(w.Shape.Elems()*t.Size())
	for _, v := range []*graph.Value{bias, gate, residual} {
		if v != nil {
			bytes += p.Bytes(v)
		}
	}
	epilogue := []Arg{at(bias), at(gate), at(residual), at(y)}
	if d.direct() {
		args := append([]Arg{at(x), copyOf(w)}, epilogue...)
		args = append(append(args, flag(d.ReLU), i32(d.n)), d.geometry()...)
		return Plan{Launches: []Launch{{
			Module: "conv_grouped", Kernel: fmt.Sprintf("conv_grouped_%sx%d", t, groupedWidth(d.inputs())),
			Grid: p.groupedGrid(d.k, d.pixels()), Block: Dim{X: 256}, Shared: d.filterBytes(d.inputs()), Args: args, Bytes: bytes,
		}}}, nil
	}
	m := product{
		rows: d.pixels(), columns: d.outputs(), depth: d.r * d.s * d.inputs(), batch: d.Groups,
		aligned: d.inputs()%width(t, 0) == 0,
	}
	c := p.cut(m)
	plan, partial := p.partialMaps(c, y)
	args := append([]Arg{at(x), copyOf(w)}, epilogue...)
	args = append(append(args, partial, flag(d.ReLU), i32(d.pixels())), d.geometry()...)
	plan.Launches = []Launch{{
		Module: "conv", Kernel: "conv_" + p.suffix(c.tile, m.aligned), Grid: c.grid(m), Block: Dim{X: 128},
		Shared: c.stageBytes() + c.windowBytes(), Args: append(args, i32(c.share)), Bytes: bytes + plan.Scratch,
	}}
	if c.splits > 1 {
		plan.Launches = append(plan.Launches, p.convSum(partial, c.splits, bias, gate, residual, y, d.ReLU))
	}
	return plan, nil
}

// partialMaps reserves the partial sums of map y, (splits, pixels, channels), where blocks share the reduction.
func (p *Planner) partialMaps(c cut, y *graph.Value) (Plan, Arg) {
	if c.splits == 1 {
		return Plan{}, null()
	}
	var ws workspace
	partial := ws.take(int64(c.splits) * int64(y.Shape.Elems()) * 4)
	return Plan{Scratch: ws.bytes}, partial
}

// convSum adds partial sums and applies the epilogue; bias, gate and residual may be nil.
func (p *Planner) convSum(partial Arg, splits int, bias, gate, residual, y *graph.Value, relu bool) Launch {
	t, k, plane := p.Type(y), y.Shape[1], y.Shape[2]*y.Shape[3]
	w := width(t, k)
	return Launch{
		Module: "conv", Kernel: fmt.Sprintf("conv_sum_%sx%d", t, w),
		Grid: Dim{X: min(ceilDiv(y.Shape.Elems()/w, 256), 8*p.SMs)}, Block: Dim{X: 256},
		Args: []Arg{
			partial, at(bias), at(gate), at(residual), at(y), flag(relu),
			i32(splits), i64(int64(y.Shape[0] * plane)), i32(plane), i32(k),
		},
		Bytes: int64(splits*y.Shape.Elems()*4) + p.Bytes(y),
	}
}
