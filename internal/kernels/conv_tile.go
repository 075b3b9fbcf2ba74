package kernels

import (
	"fmt"
	"math"
)

// tile is the part (m, n) of a product that a block computes (conv_tile.cuh).
type tile struct {
	m, n   int
	blocks int     // on a multiprocessor
	rate   float64 // of its multiply-adds against the largest tile's: smaller ones read shared memory more often
}

// The rates are ratios of loads of fragments to products, not measured.
var tiles = []tile{{128, 128, 2, 1}, {128, 64, 3, 0.8}, {64, 64, 4, 0.65}}

// stages in shared memory, and their bytes, as Block in conv_tile.cuh has them.
func (t tile) stages() int {
	if t.m*t.n == 128*128 {
		return 3
	}
	return 4
}

func (t tile) stageBytes() int { return t.stages() * (t.m + t.n) * 64 }

// windowBytes is the shared memory for where the rows of a tile begin.
func (t tile) windowBytes() int { return 8 * t.m }

// product is a matrix product (rows, columns) with a reduction over depth, batch times.
type product struct {
	rows, columns, depth, batch int
	aligned                     bool // rows of the sources are whole 16-byte vectors
}

// cut is how blocks share a product.
type cut struct {
	tile
	share  int // stages of the reduction of a block
	splits int // blocks that share a reduction: the first dimension of the partial sums
}

// grid is what blocks there are. Those of one row of tiles run side by side.
func (c cut) grid(m product) Dim {
	return Dim{X: ceilDiv(m.rows, c.m) * ceilDiv(m.columns, c.n), Y: m.batch, Z: c.splits}
}

// depth is the elements of the reduction in a stage of 64 bytes.
func (p *Planner) stageDepth() int { return 64 / p.Precision.Map().Size() }

// multiplyType names the products of a convolution in the names of kernels.
func (p *Planner) multiplyType() string {
	if p.Precision == TF32 {
		return "tf32"
	}
	return p.Precision.Map().String()
}

// suffix ends the name of a kernel for a tile, e.g. 128x64_bf16x8.
func (p *Planner) suffix(t tile, aligned bool) string {
	w := 1
	if aligned {
		w = width(p.Precision.Map(), 0)
	}
	return fmt.Sprintf("%dx%d_%sx%d", t.m, t.n, p.multiplyType(), w)
}

// cut chooses the tile and the splits for the least estimated time.
func (p *Planner) cut(m product) cut {
	stages := ceilDiv(m.depth, p.stageDepth())
	best, least := cut{tile: tiles[2], share: max(stages, 1), splits: 1}, math.Inf(1)
	for _, t := range tiles {
		if t.m > 64 && !m.aligned || t.n > 64 && p.Precision == Float32 {
			continue // not compiled: C = 3 and odd shapes do not earn it, and float32 products lack the registers
		}
		for _, splits := range []int{1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256} {
			share := ceilDiv(stages, splits)
			if splits > 1 && share < 8 {
				break // a block would spend its time on starting
			}
			c := cut{tile: t, share: max(share, 1), splits: max(1, ceilDiv(stages, max(share, 1)))}
			if time := p.cycles(m, c); time < least {
				best, least = c, time
			}
		}
	}
	return best
}

// cycles estimates how long a multiprocessor works on its blocks: a model to rank cuts by, not measured.
func (p *Planner) cycles(m product, c cut) float64 {
	const (
		start   = 2000.0 // of a block: the first loads, the last stores
		tensor  = 1200.0 // multiply-adds a cycle of 16-bit elements by mma.sync; tf32 takes twice the bytes for half
		plain   = 100.0  // of float32 ones
		traffic = 20.0   // bytes a cycle of partial sums, written and read
		launch  = 5000.0 // of the kernel that adds them
		alone   = 0.6    // of the rate is what one block reaches on a multiprocessor
	)
	rate := tensor
	switch p.Precision {
	case TF32:
		rate = tensor / 2
	case Float32:
		rate = plain
	}
	g := c.grid(m)
	each := ceilDiv(g.X*max(g.Y, 1)*g.Z, p.SMs)
	busy := alone + (1-alone)*float64(min(each, c.blocks)-1)/float64(c.blocks-1)
	work := float64(c.m*c.n*c.share*p.stageDepth()) / (rate * c.rate * busy)
	time := float64(each)*work + float64(ceilDiv(each, c.blocks))*start
	if c.splits > 1 {
		time += launch + float64(8*c.splits*m.rows*m.batch)*float64(m.columns)/(traffic*float64(p.SMs))
	}
	return time
}
