package kernels

import "senet/internal/graph"

// The shape of small products, see excitation.cuh.
const (
	productThreads = 256
	productTile    = 32  // images
	productUnits   = 32  // outputs of a block that sums over channels,
	productWide    = 128 // and of one that sums over hidden units or makes channels
	productChunk   = 64  // channels that a block takes at a time
	mostParts      = 8   // that a sum over channels is cut into
	dotImages      = 4
	dotThreads     = 256 // of a block at the most
	dotTerms       = 8   // of a thread, so that it has some reads under way; 1 of those that are sums themselves
	fewImages      = 16  // below it weights are better read once for four images by all multiprocessors
)

// norm is the arguments of struct Norm in channel_sums.cuh.
func norm(gamma, beta, mean, variance *graph.Value, eps float32) []Arg {
	return []Arg{at(gamma), at(beta), at(mean), at(variance), f32(eps)}
}

// seBlock is the fully connected half of an SE block.
type seBlock struct {
	n, c, r        int
	w1, b1, w2, b2 *graph.Value
}

func seBlockOf(n int, weights []*graph.Value) seBlock {
	return seBlock{
		n: n, c: weights[0].Shape[1], r: weights[0].Shape[0],
		w1: weights[0], b1: weights[1], w2: weights[2], b2: weights[3],
	}
}

// sumOverChannels cuts a product (N, C) by (C, R) into tiles, and its sums over C until each multiprocessor has one.
func (p *Planner) sumOverChannels(n, c, r int) (tiles Dim, per, parts int) {
	tiles = Dim{ceilDiv(r, productUnits), ceilDiv(n, productTile), 1}
	parts = max(1, min(mostParts, p.SMs/(tiles.X*tiles.Y), ceilDiv(c, productChunk)))
	per = ceilDiv(ceilDiv(c, parts), productChunk) * productChunk
	tiles.Z = ceilDiv(c, per)
	return tiles, per, tiles.Z
}

// dotBlock is the block that makes one output of a sum over count terms, so many a thread or more.
func dotBlock(count, terms int) Dim {
	return Dim{X: min(dotThreads, ceilDiv(ceilDiv(count, terms), 32)*32)}
}

// excite plans gate (N, C) from z (N, C), which is normalised first where norm has a gamma. hidden may be nil.
func (p *Planner) excite(ws *workspace, b seBlock, z *graph.Value, norm []Arg, hidden, gate *graph.Value) []Launch {
	units, pairs := int64(b.n*b.r)*4, int64(b.n*b.c)*4
	first := append([]Arg{at(z)}, norm...)
	if b.n <= fewImages {
		part := ws.take(units)
		return []Launch{{
			Module: "excitation", Kernel: "excitation_hidden_few", Grid: Dim{b.r, ceilDiv(b.n, dotImages), 1}, Block: dotBlock(b.c, dotTerms),
			Args:  append(append([]Arg{part}, first...), at(b.w1), i32(b.n), i32(b.c), i32(b.r)),
			Bytes: pairs + p.Bytes(b.w1) + units,
		}, p.expand(b, part, 1, hidden, gate)}
	}
	grid, per, parts := p.sumOverChannels(b.n, b.c, b.r)
	part := ws.take(int64(parts) * units)
	return []Launch{{
		Module: "excitation", Kernel: "excitation_hidden", Grid: grid, Block: Dim{X: productThreads},
		Args:  append(append([]Arg{part}, first...), at(b.w1), i32(b.n), i32(b.c), i32(b.r), i32(per)),
		Bytes: pairs + p.Bytes(b.w1) + int64(parts)*units,
	}, p.expand(b, part, parts, hidden, gate)}
}

// expand plans gate (N, C) from the hidden units before bias and ReLU, in parts (parts, N, R) to add up. hidden, nil or what the
// ReLU makes of them, is written too.
func (p *Planner) expand(b seBlock, part Arg, parts int, hidden, gate *graph.Value) Launch {
	l := Launch{
		Module: "excitation", Kernel: "excitation_gate", Block: Dim{X: productThreads},
		Grid:  Dim{ceilDiv(b.c, productWide), ceilDiv(b.n, productTile), 1},
		Args:  []Arg{at(gate), at(hidden), part, i32(parts)},
		Bytes: int64(parts*b.n*b.r)*4 + p.traffic(b.w2, gate, hidden),
	}
	if b.n <= fewImages {
		l.Kernel, l.Block, l.Grid, l.Args = "excitation_gate_few", dotBlock(b.r, dotTerms), Dim{b.c, ceilDiv(b.n, dotImages), 1}, l.Args[:3]
	}
	l.Args = append(l.Args, at(b.b1), at(b.w2), at(b.b2), i32(b.n), i32(b.c), i32(b.r))
	return l
}

func excitation(p *Planner, n *graph.Node) (Plan, error) {
	h, gate := n.In[0], n.Out[0]
	b := seBlock{n: h.Shape[0], c: gate.Shape[1], r: h.Shape[1], w2: n.In[1], b2: n.In[2]}
	return Plan{Launches: []Launch{p.expand(b, at(h), 1, nil, gate)}}, nil
}
