package kernels

import (
	"fmt"
	"math"

	"senet/internal/graph"
)

// convolution is the geometry of x (N, C, H, W), w (K, C/groups, R, S) and y (N, K, P, Q).
type convolution struct {
	n, c, h, w, k, r, s, p, q int
	graph.ConvAttr
}

// convolutionOf checks that the kernels' 32-bit indices reach all of a convolution.
func convolutionOf(x, w, y graph.Shape, a graph.ConvAttr) (convolution, error) {
	d := convolution{x[0], x[1], x[2], x[3], w[0], w[2], w[3], y[2], y[3], a}
	const side = math.MaxInt16 / 2
	switch {
	case max(d.h, d.w, d.p, d.q, d.r+d.Pad, d.s+d.Pad) > side:
		return d, fmt.Errorf("a side of map %v or filter %v is longer than %d", x, w, side)
	case max(d.n*d.h*d.w, d.n*d.p*d.q, d.k*d.r*d.s*d.c/d.Groups) > math.MaxInt32/2:
		return d, fmt.Errorf("map %v or filter %v is too large", x, w)
	case d.imagesOfTile(d.p*d.q)*d.h*d.w*d.c > math.MaxInt32, d.imagesOfTile(d.h*d.w/d.Stride/d.Stride)*d.p*d.q*d.k > math.MaxInt32:
		return d, fmt.Errorf("the images of %v are too large", x)
	}
	return d, nil
}

// imagesOfTile is how many images of so many pixels a tile of rows reaches, at most.
func (d convolution) imagesOfTile(pixels int) int { return 128/max(pixels, 1) + 2 }

// inputs and outputs are the channels of a group.
func (d convolution) inputs() int  { return d.c / d.Groups }
func (d convolution) outputs() int { return d.k / d.Groups }

// pixels of y.
func (d convolution) pixels() int { return d.n * d.p * d.q }

// direct reports whether the groups are so small that they run without a product of matrices (conv_grouped.cu): their
// filters fit in shared memory.
func (d convolution) direct() bool {
	channels := max(d.inputs(), d.outputs())
	return d.Groups > 1 && channels < 16 && d.filterBytes(channels) <= 48<<10
}

// filterBytes is the shared memory for a warp's filters of so many channels.
func (d convolution) filterBytes(channels int) int { return 32 * d.r * d.s * channels * 4 }

// geometry lists what every kernel of a convolution takes, after H, W, C, P, Q.
func (d convolution) geometry() []Arg {
	return []Arg{
		i32(d.h), i32(d.w), i32(d.c), i32(d.p), i32(d.q), i32(d.k), i32(d.r), i32(d.s),
		i32(d.Stride), i32(d.Pad), i32(d.Groups),
	}
}

// groupedWidth is the channels that a thread of conv_grouped.cu loads at once.
func groupedWidth(channels int) int {
	if channels%4 == 0 {
		return 4
	}
	return 1
}

// groupedGrid has a warp of channels by pixels, four a thread, in at most four blocks a multiprocessor.
func (p *Planner) groupedGrid(channels, pixels int) Dim {
	chunks := ceilDiv(channels, 32)
	return Dim{X: min(ceilDiv(pixels, 32), max(1, 4*p.SMs/chunks)), Y: chunks}
}
