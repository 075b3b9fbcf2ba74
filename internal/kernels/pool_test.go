package kernels

import (
	"testing"

	"senet/internal/graph"
)

// TestPoolPlans: a thread makes a vector of the output, or of the gradient stride x stride vectors of which some may lie in the
// padding; any batch fits the grid, which fills the device once at the most.
func TestPoolPlans(t *testing.T) {
	stem, tight := graph.PoolAttr{Kernel: 3, Stride: 2, Pad: 1}, graph.PoolAttr{Kernel: 2, Stride: 2, Ceil: true}
	dense, apart := graph.PoolAttr{Kernel: 3, Stride: 1, Pad: 1}, graph.PoolAttr{Kernel: 2, Stride: 3}
	for _, c := range []struct {
		shape             graph.Shape
		attr              graph.PoolAttr
		forward, gradient int // blocks
		variant           string
	}{
		{graph.Shape{256, 64, 112, 112}, stem, 1056, 1056, "bf16x8"},
		{graph.Shape{1, 64, 112, 112}, stem, 98, 102, "bf16x8"}, // 56 x 56 and 57 x 57 of 8 vectors
		{graph.Shape{1, 64, 2, 8}, stem, 1, 1, "bf16x8"},
		{graph.Shape{32, 64, 2, 8}, stem, 4, 10, "bf16x8"},       // 1 x 4 and 2 x 5
		{graph.Shape{3, 17, 13, 7}, tight, 6, 6, "bf16x1"},       // 7 x 4
		{graph.Shape{3, 17, 13, 7}, apart, 2, 3, "bf16x1"},       // 4 x 2 and 5 x 3
		{graph.Shape{2, 576, 14, 14}, dense, 111, 127, "bf16x8"}, // 14 x 14 and 15 x 15
		{graph.Shape{70000, 8, 2, 8}, stem, 1056, 1056, "bf16x8"},
	} {
		x := &graph.Value{Shape: c.shape}
		y := &graph.Value{Shape: graph.New().AvgPool("pool", x, c.attr).Shape}
		position := &graph.Value{Shape: y.Shape, DType: graph.Uint8}
		for kernel, n := range map[string]*graph.Node{
			"max_pool":      {Op: graph.MaxPool, Attr: c.attr, In: []*graph.Value{x}, Out: []*graph.Value{y, position}},
			"max_pool_grad": {Op: graph.MaxPoolGrad, Attr: c.attr, In: []*graph.Value{y, position}, Out: []*graph.Value{x}},
			"avg_pool":      {Op: graph.AvgPool, Attr: c.attr, In: []*graph.Value{x}, Out: []*graph.Value{y}},
			"avg_pool_grad": {Op: graph.AvgPoolGrad, Attr: c.attr, In: []*graph.Value{y}, Out: []*graph.Value{x}},
		} {
			blocks := c.forward
			if n.Out[0] == x {
				blocks = c.gradient
			}
			l := planned(t, BFloat16, n).Launches[0]
			if l.Kernel != kernel+"_"+c.variant || l.Grid != (Dim{X: blocks}) || l.Block != (Dim{X: walkThreads}) {
				t.Errorf("%v %+v: %s in %v blocks of %v, want %d", c.shape, c.attr, l.Kernel, l.Grid, l.Block, blocks)
			}
		}
	}
}
