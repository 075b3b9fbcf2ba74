package kernels

import (
	"fmt"

	"senet/internal/graph"
)

// walkThreads is the block of kernels that walk over their elements (walk.cuh), and walkBlocks how many of them a
// multiprocessor holds at once: 2048 threads.
const (
	walkThreads = 256
	walkBlocks  = 8
)

// walk is a launch of which each thread makes w neighbours of out at a time.
func (p *Planner) walk(module, kernel string, out *graph.Value, w int, args ...Arg) Launch {
	return p.walkUnits(module, kernel, out.Shape.Elems()/w, args...)
}

// walkUnits is a launch of which each thread makes a unit at a time. The grid fills the device once at the most, since the
// threads go round.
func (p *Planner) walkUnits(module, kernel string, units int, args ...Arg) Launch {
	blocks := min(ceilDiv(units, walkThreads), walkBlocks*p.SMs)
	return Launch{Module: module, Kernel: kernel, Grid: Dim{X: blocks}, Block: Dim{X: walkThreads}, Args: args}
}

// variant names the kernel for w neighbours of type t, one of SENET_MAP_KERNELS.
func variant(kernel string, t Type, w int) string { return fmt.Sprintf("%s_%sx%d", kernel, t, w) }

// traffic is the bytes that reading or writing each value once takes; nil values take none.
func (p *Planner) traffic(values ...*graph.Value) int64 {
	total := int64(0)
	for _, v := range values {
		if v != nil {
			total += p.Bytes(v)
		}
	}
	return total
}

// mapDims are the images, rows, columns and channels of a map (N, C, H, W).
func mapDims(v *graph.Value) (n, h, w, c int) {
	return v.Shape[0], v.Shape[2], v.Shape[3], v.Shape[1]
}

// one is the plan of a single launch that moves the values once.
func (p *Planner) one(l Launch, values ...*graph.Value) (Plan, error) {
	l.Bytes = p.traffic(values...)
	return Plan{Launches: []Launch{l}}, nil
}
