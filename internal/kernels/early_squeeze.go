package kernels

import "senet/internal/graph"

// squeezed is the operands of early_squeeze in the letters of early_squeeze.cu.
type squeezed struct {
	x, w, bias, out *graph.Value
	n, h, width, c  int
	k, r, s         int
	p, q            int // rows and columns of the convolution's output
	stride, pad     int
}

func squeezedOf(n *graph.Node) squeezed {
	q := squeezed{x: n.In[0], w: n.In[1], bias: n.In[2], out: n.Out[0]}
	a := n.Attr.(graph.EarlySqueezeAttr)
	q.n, q.h, q.width, q.c = mapDims(q.x)
	q.k, q.r, q.s = q.w.Shape[0], q.w.Shape[2], q.w.Shape[3]
	q.stride, q.pad = a.Stride, a.Pad
	q.p, q.q = (q.h+2*a.Pad-q.r)/a.Stride+1, (q.width+2*a.Pad-q.s)/a.Stride+1
	return q
}

func earlySqueeze(p *Planner, n *graph.Node) (Plan, error) {
	q := squeezedOf(n)
	var ws workspace
	if q.r == 1 && q.s == 1 && q.stride == 1 && q.pad == 0 { // every pixel counts once
		s := p.sumStretches(q.x, pixelSumsKernel)
		part := ws.take(s.part(1, 1))
		return Plan{Launches: []Launch{p.pixelSums(q.x, s, part, 1), p.squeezeProduct(q, part, s.splits)}, Scratch: ws.bytes}, nil
	}
	launches, windows := p.windowSums(&ws, q)
	return Plan{Launches: append(launches, p.squeezeProduct(q, windows, 1)), Scratch: ws.bytes}, nil
}

// windowSums plans the sums of x for each window position, (N, R, S, C), which it returns.
func (p *Planner) windowSums(ws *workspace, q squeezed) ([]Launch, Arg) {
	s := p.stretches(q.x)
	rowBytes, bytes := int64(q.n*q.h*q.s*q.c)*4, int64(q.n*q.r*q.s*q.c)*4
	rows, windows := ws.take(rowBytes), ws.take(bytes)
	count := q.n * q.r * q.s * q.c
	return []Launch{{
		Module: "early_squeeze", Kernel: variant("early_squeeze_rows", s.t, s.width),
		Grid: Dim{q.n * q.h, s.tiles, q.s}, Block: Dim{s.lanes, s.rows, 1},
		Args:  []Arg{rows, at(q.x), i32(q.width), i32(q.c), i32(q.q), i32(q.stride), i32(q.pad)},
		Bytes: p.Bytes(q.x) + rowBytes,
	}, {
		Module: "early_squeeze", Kernel: "early_squeeze_windows",
		Grid: Dim{X: min(ceilDiv(count, walkThreads), walkBlocks*p.SMs)}, Block: Dim{X: walkThreads},
		Args: []Arg{
			windows, rows, i64(int64(count)), i32(q.h), i32(q.c), i32(q.r), i32(q.s), i32(q.p), i32(q.stride), i32(q.pad),
		},
		Bytes: rowBytes + bytes,
	}}, windows
}

// squeezeProduct plans out from the sums of x, (N, splits, R S C).
func (p *Planner) squeezeProduct(q squeezed, sums Arg, splits int) Launch {
	count := q.r * q.s * q.c
	l := Launch{
		Module: "early_squeeze", Kernel: "early_squeeze", Block: Dim{X: productThreads},
		Grid:  Dim{ceilDiv(q.k, productUnits), ceilDiv(q.n, productTile), 1},
		Args:  []Arg{at(q.out), sums, i32(splits), at(q.w), at(q.bias), f32(1 / float32(q.p*q.q)), i32(q.n), i32(count), i32(q.k)},
		Bytes: int64(q.n*splits*count)*4 + p.traffic(q.w, q.bias, q.out),
	}
	if q.n <= fewImages || q.k < productUnits {
		l.Kernel, l.Block, l.Grid = "early_squeeze_few", dotBlock(count, 1), Dim{q.k, ceilDiv(q.n, dotImages), 1}
	}
	return l
}
