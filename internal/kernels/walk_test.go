package kernels

import (
	"testing"

	"senet/internal/graph"
)

// TestElementwisePlans sees that kernels follow how values are stored and how long their rows are.
func TestElementwisePlans(t *testing.T) {
	device := Device{Compute: 90, SMs: 132}
	for _, c := range []struct {
		precision Precision
		shape     graph.Shape
		kernel    string
		blocks    int
	}{
		{BFloat16, graph.Shape{2, 64, 7, 7}, "relu_bf16x8", 4},
		{BFloat16, graph.Shape{1, 17, 5, 7}, "relu_bf16x1", 3},
		{BFloat16, graph.Shape{3, 33}, "relu_f32x1", 1},
		{Float16, graph.Shape{256, 64, 112, 112}, "relu_f16x8", 1056},
		{Float16, graph.Shape{4, 64}, "relu_f32x4", 1},
		{TF32, graph.Shape{1, 4, 1, 1}, "relu_f32x4", 1},
	} {
		x, y := &graph.Value{Shape: c.shape}, &graph.Value{Shape: c.shape}
		n := &graph.Node{Op: graph.ReLU, Name: "relu", In: []*graph.Value{x}, Out: []*graph.Value{y}}
		p := NewPlanner(&graph.Program{}, c.precision, device)
		plan, err := p.Plan(n)
		if err != nil {
			t.Fatal(err)
		}
		l := plan.Launches[0]
		if l.Kernel != c.kernel || l.Grid.X != c.blocks || l.Bytes != 2*p.Bytes(x) || len(n.In) != 1 {
			t.Errorf("%v %v: %s in %d blocks, %d bytes; want %s in %d", c.precision, c.shape, l.Kernel, l.Grid.X, l.Bytes, c.kernel, c.blocks)
		}
	}
}

// TestConcatUnits: the widest unit that every map consists of.
func TestConcatUnits(t *testing.T) {
	for _, c := range []struct {
		precision Precision
		channels  []int
		kernel    string
	}{
		{BFloat16, []int{8, 16}, "concat_b16"},
		{BFloat16, []int{8, 12}, "concat_b2"},
		{Float32, []int{8, 12}, "concat_b16"},
		{Float32, []int{8, 13}, "concat_b4"},
	} {
		n := &graph.Node{Op: graph.Concat, Attr: graph.ConcatAttr{Channels: c.channels}}
		total := 0
		for _, channels := range c.channels {
			n.In = append(n.In, &graph.Value{Shape: graph.Shape{2, channels, 3, 3}})
			total += channels
		}
		n.Out = []*graph.Value{{Shape: graph.Shape{2, total, 3, 3}}}
		plan, err := NewPlanner(&graph.Program{}, c.precision, Device{Compute: 90, SMs: 132}).Plan(n)
		if err != nil {
			t.Fatal(err)
		}
		if got := plan.Launches[0].Kernel; got != c.kernel {
			t.Errorf("%v %v: %s, want %s", c.precision, c.channels, got, c.kernel)
		}
	}
}

func TestCastCoversTheWeight(t *testing.T) {
	for elems, blocks := range map[int]int{1: 1, 2048: 1, 2049: 2, 1 << 20: 512} {
		l := Cast(&graph.Value{Shape: graph.Shape{elems}}, BF16)
		if l.Kernel != "cast_bf16" || l.Grid.X != blocks || l.Bytes != int64(6*elems) {
			t.Errorf("%d elements: %s in %d blocks, %d bytes, want %d blocks", elems, l.Kernel, l.Grid.X, l.Bytes, blocks)
		}
	}
}
