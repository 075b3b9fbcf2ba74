package kernels

import "senet/internal/graph"

// The shape of passes over maps, see channel_sums.cuh.
const (
	stretchThreads = 128 // of a block: enough blocks to share even small maps out evenly
	stretchLanes   = 32  // vectors of channels side by side
	mostStretches  = 16  // of an image, where each leaves a row of partial sums: one thread joins them
	sumPixels      = 4   // of a thread that sums, at the least: as many as it reads at once
	gatherRows     = 64  // of a block that joins those: threads that share a channel's images
	gatherLanes    = 8   // and its channels: a sector of memory
)

// Blocks that a multiprocessor is to get. Passes that sum want no more than are resident at once, since each leaves a row
// of partial sums and few would be left for a second round. Others want several rounds, so that no multiprocessor ends
// late, as long as a thread has some pixels for which it loads the numbers of its channels.
const (
	sumBlocks   = 8 // at the most
	writeBlocks = 32
	writePixels = 8 // of a thread at the least
)

// stretches is how a pass over a map is cut.
type stretches struct {
	t               Type
	n, hw, c, width int
	lanes, rows     int // of a block
	tiles           int // blocks side by side along the channels
	per, splits     int // pixels in a stretch, stretches of an image
}

// sumStretches cuts v for a pass of that kernel, which leaves partial sums of each stretch.
func (p *Planner) sumStretches(v *graph.Value, kernel string) stretches {
	s := p.stretches(v)
	blocks := min(p.resident(variant(kernel, s.t, s.width), stretchThreads), sumBlocks)
	return s.cut(min(blocks*p.SMs/(s.n*s.tiles), s.hw/(sumPixels*s.rows), mostStretches))
}

// writeStretches cuts v for a pass that only writes maps.
func (p *Planner) writeStretches(v *graph.Value) stretches {
	s := p.stretches(v)
	return s.cut(min(ceilDiv(writeBlocks*p.SMs, s.n*s.tiles), s.hw/(writePixels*s.rows)))
}

func (p *Planner) stretches(v *graph.Value) stretches {
	n, h, w, c := mapDims(v)
	s := stretches{t: p.Type(v), n: n, hw: h * w, c: c}
	s.width = width(s.t, c)
	vectors := c / s.width
	s.tiles = ceilDiv(vectors, stretchLanes)
	s.lanes = ceilDiv(vectors, s.tiles)
	s.rows = stretchThreads / s.lanes
	return s
}

// cut is s with about that many stretches an image, at least one, none of them empty.
func (s stretches) cut(splits int) stretches {
	s.per = ceilDiv(s.hw, max(splits, 1))
	s.splits = ceilDiv(s.hw, s.per)
	return s
}

// launch runs a kernel over maps of the shape, one behind the other.
func (s stretches) launch(module, kernel string, maps int, args ...Arg) Launch {
	return Launch{
		Module: module, Kernel: variant(kernel, s.t, s.width),
		Grid: Dim{s.tiles, s.splits, maps * s.n}, Block: Dim{s.lanes, s.rows, 1}, Args: args,
	}
}

// part is the bytes of the partial sums (maps N, splits, kinds, C).
func (s stretches) part(maps, kinds int) int64 {
	return int64(maps*s.n*s.splits) * int64(kinds*s.c) * 4
}

// gather is a launch that joins the partial sums of each channel.
func (s stretches) gather(module, kernel string, maps int, args ...Arg) Launch {
	return Launch{
		Module: module, Kernel: kernel,
		Grid: Dim{ceilDiv(s.c, gatherLanes), maps, 1}, Block: Dim{gatherLanes, min(gatherRows, s.n), 1}, Args: args,
	}
}
