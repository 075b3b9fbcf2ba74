package kernels

import (
	"testing"

	"senet/internal/graph"
)

// TestProductsAreSplitEvenly: splits start at a step of the kernel, cover k and none is empty; the head of ResNet-50 fills an H100.
func TestProductsAreSplitEvenly(t *testing.T) {
	p := &Planner{Device: Device{SMs: 132}}
	for _, s := range [][3]int{
		{1, 1000, 2048},
		{256, 1000, 2048},
		{256, 2048, 1000},
		{1000, 2048, 256},
		{1, 1, 1},
		{3, 10, 17},
		{64, 128, 2048},
		{512, 21841, 2048},
		{7, 5, 1023},
		{64, 64, 64},
		{64, 64, 65},
	} {
		c := p.product(s[0], s[1], s[2])
		if c.stretch%linearDepth != 0 || c.splits < 1 || (c.splits-1)*c.stretch >= c.k || c.splits*c.stretch < c.k {
			t.Errorf("%v: %d splits of %d", s, c.splits, c.stretch)
		}
		blocks := ceilDiv(c.m, linearTile) * ceilDiv(c.n, linearTile) * c.splits
		if c.k >= 1000 && c.n >= 1000 && blocks < 2*p.SMs {
			t.Errorf("%v: %d blocks", s, blocks)
		}
		if c.splits > 1 && blocks > 4*p.SMs+c.splits {
			t.Errorf("%v: %d blocks", s, blocks)
		}
	}
}

// TestLinearGradLeavesOutWhatIsNotWanted: dx and db may be nil.
func TestLinearGradLeavesOutWhatIsNotWanted(t *testing.T) {
	value := func(s ...int) *graph.Value { return &graph.Value{Shape: s, Role: graph.State} }
	for bits := range 4 {
		dy, x, w, dw := value(3, 10), value(3, 17), value(10, 17), value(10, 17)
		var dx, db *graph.Value
		if bits&1 > 0 {
			dx = value(3, 17)
		}
		if bits&2 > 0 {
			db = value(10)
		}
		n := &graph.Node{Op: graph.LinearGrad, In: []*graph.Value{dy, x, w}, Out: []*graph.Value{dx, dw, db}}
		p := &graph.Program{Values: []*graph.Value{dy, x, w, dw}}
		p.Phases[graph.Step] = []*graph.Node{n}
		plan, err := NewPlanner(p, Float32, Device{Compute: 90, SMs: 132}).Plan(n)
		if err != nil {
			t.Fatal(err)
		}
		var kernels []string
		for _, l := range plan.Launches {
			kernels = append(kernels, l.Kernel)
		}
		last := plan.Launches[len(plan.Launches)-1]
		if want := 1 + bits&1; len(kernels) != want || last.Kernel != "linear_grad_weight_f32x1" || (last.Args[1].Value != nil) != (db != nil) {
			t.Errorf("dx %v, db %v: launches %q", dx != nil, db != nil, kernels)
		}
	}
}
