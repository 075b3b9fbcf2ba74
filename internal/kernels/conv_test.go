package kernels

import (
	"math"
	"os"
	"regexp"
	"strings"
	"testing"

	"senet/internal/graph"
)

// convNode is a node over values of a convolution x (N, C, H, W), w (K, C/groups, R, S).
func convNode(op graph.Op, x, w graph.Shape, a graph.ConvAttr) (*graph.Node, *graph.Program) {
	side := func(in, filter int) int { return (in+2*a.Pad-filter)/a.Stride + 1 }
	y := graph.Shape{x[0], w[0], side(x[2], w[2]), side(x[3], w[3])}
	value := func(s graph.Shape) *graph.Value { return &graph.Value{Shape: s, Role: graph.State} }
	n := &graph.Node{Op: op, Attr: a}
	switch op {
	case graph.Conv:
		n.In, n.Out = []*graph.Value{value(x), value(w), nil, nil, nil}, []*graph.Value{value(y)}
	case graph.ConvGradInput:
		n.In, n.Out = []*graph.Value{value(y), value(w)}, []*graph.Value{value(x)}
	case graph.ConvGradWeight:
		n.In, n.Out = []*graph.Value{value(y), value(x)}, []*graph.Value{value(w), value(graph.Shape{w[0]})}
	}
	p := &graph.Program{}
	p.Phases[graph.Step] = []*graph.Node{n}
	return n, p
}

var convOps = []graph.Op{graph.Conv, graph.ConvGradInput, graph.ConvGradWeight}

// convShapes are those of ResNet-50 and ResNeXt-50, and odd ones.
var convShapes = []struct {
	x, w   graph.Shape // with one image
	stride int
	pad    int
	groups int
}{
	{graph.Shape{1, 3, 224, 224}, graph.Shape{64, 3, 7, 7}, 2, 3, 1},
	{graph.Shape{1, 64, 56, 56}, graph.Shape{64, 64, 3, 3}, 1, 1, 1},
	{graph.Shape{1, 64, 56, 56}, graph.Shape{256, 64, 1, 1}, 1, 0, 1},
	{graph.Shape{1, 256, 56, 56}, graph.Shape{512, 256, 1, 1}, 2, 0, 1},
	{graph.Shape{1, 128, 56, 56}, graph.Shape{128, 128, 3, 3}, 2, 1, 1},
	{graph.Shape{1, 1024, 14, 14}, graph.Shape{256, 1024, 1, 1}, 1, 0, 1},
	{graph.Shape{1, 512, 7, 7}, graph.Shape{512, 512, 3, 3}, 1, 1, 1},
	{graph.Shape{1, 128, 56, 56}, graph.Shape{128, 4, 3, 3}, 1, 1, 32},
	{graph.Shape{1, 512, 14, 14}, graph.Shape{512, 16, 3, 3}, 1, 1, 32},
	{graph.Shape{1, 5, 13, 28}, graph.Shape{5, 1, 3, 3}, 2, 1, 5},
	{graph.Shape{1, 512, 7, 7}, graph.Shape{17, 512, 3, 3}, 1, 1, 1},
	{graph.Shape{1, 17, 1, 1}, graph.Shape{3, 17, 1, 1}, 1, 0, 1},
}

// eachConv plans every op on every shape, precision, number of images and device.
func eachConv(t *testing.T, check func(p *Planner, n *graph.Node, plan Plan)) {
	t.Helper()
	for _, s := range convShapes {
		for _, op := range convOps {
			for precision := Float32; precision <= Float16; precision++ {
				for _, images := range []int{1, 8, 256} {
					for _, sms := range []int{1, 20, 132} {
						x := append(graph.Shape{images}, s.x[1:]...)
						n, program := convNode(op, x, s.w, graph.ConvAttr{Stride: s.stride, Pad: s.pad, Groups: s.groups})
						p := NewPlanner(program, precision, Device{Compute: 90, SMs: sms})
						plan, err := p.Plan(n)
						if err != nil {
							t.Fatal(err)
						}
						check(p, n, plan)
					}
				}
			}
		}
	}
}

// TestConvKernelsExist: plans name kernels that the sources define, launch what a device takes, and together all kernels.
func TestConvKernelsExist(t *testing.T) {
	tiles := sourceMatches(t, "conv_tile.cuh", `(?m)^  X\((\w+),`)
	maps := []string{"f32x4", "f32x1", "bf16x8", "bf16x1", "f16x8", "f16x1"}
	grouped := sourceMatches(t, "conv_grouped.cu", `(?m)^KERNELS\((\w+),`)
	missing := map[string]bool{"conv_grad_weight_sum": true}
	enter := func(suffixes []string, stems ...string) {
		for _, stem := range stems {
			for _, suffix := range suffixes {
				missing[stem+"_"+suffix] = true
			}
		}
	}
	enter(tiles, "conv", "conv_grad_input", "conv_grad_weight")
	enter(maps, "conv_sum", "conv_grad_weight_bias")
	enter(grouped, "conv_grouped", "conv_grouped_input", "conv_grouped_weight")
	known := len(missing)
	named := map[string]bool{}
	eachConv(t, func(_ *Planner, n *graph.Node, plan Plan) {
		for _, l := range plan.Launches {
			if !missing[l.Kernel] || !strings.HasPrefix(l.Kernel, l.Module) {
				t.Fatalf("%s: no kernel %s in %s", n.Op, l.Kernel, l.Module)
			}
			named[l.Kernel] = true
			if max(l.Grid.Y, l.Grid.Z) > math.MaxUint16 || l.Shared > 99<<10 || l.Bytes <= 0 {
				t.Errorf("%s: %s, grid %v, %d bytes shared, moves %d", n.Op, l.Kernel, l.Grid, l.Shared, l.Bytes)
			}
		}
	})
	for kernel := range named {
		delete(missing, kernel)
	}
	if len(missing) > 0 {
		t.Errorf("%d of %d kernels are never launched: %v", len(missing), known, missing)
	}
}

func sourceMatches(t *testing.T, file, pattern string) []string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(string(text), -1) {
		found = append(found, m[1])
	}
	if len(found) == 0 {
		t.Fatalf("%s has no %s", file, pattern)
	}
	return found
}

// TestCutsCoverTheReduction: no share is empty and none is left out, and an H100 is not left idle.
func TestCutsCoverTheReduction(t *testing.T) {
	p := &Planner{Device: Device{Compute: 90, SMs: 132}, Precision: BFloat16}
	for _, rows := range []int{1, 49, 3136, 802816} {
		for _, columns := range []int{1, 64, 147, 2048} {
			for _, depth := range []int{0, 1, 64, 4608, 802816} {
				m := product{rows: rows, columns: columns, depth: depth, batch: 1, aligned: columns%8 == 0}
				c, stages := p.cut(m), ceilDiv(depth, 32)
				if c.share < 1 || c.splits < 1 || c.splits*c.share < stages || (c.splits-1)*c.share > max(stages-1, 0) {
					t.Errorf("%+v: %d shares of %d stages, want %d in all", m, c.splits, c.share, stages)
				}
				g := c.grid(m)
				if blocks := g.X * g.Z; depth >= 4608 && blocks < min(64, stages/9) || depth < 1024 && c.splits > 1 {
					t.Errorf("%+v: %d blocks in %d splits", m, blocks, c.splits)
				}
			}
		}
	}
}

// TestConvReadsCopies: weights come from the copy in the type of maps, and fold_bn writes it.
func TestConvReadsCopies(t *testing.T) {
	n, program := convNode(graph.Conv, graph.Shape{2, 16, 7, 7}, graph.Shape{8, 16, 1, 1}, graph.ConvAttr{Stride: 1, Groups: 1})
	k := func() *graph.Value { return &graph.Value{Shape: graph.Shape{8}} }
	w := &graph.Value{Shape: n.In[1].Shape, Role: graph.Param}
	fold := &graph.Node{
		Op: graph.FoldBN, Attr: graph.BatchNormAttr{Eps: 1e-5},
		In: []*graph.Value{w, k(), k(), k(), k()}, Out: []*graph.Value{n.In[1], k()},
	}
	program.Phases[graph.Prepare] = []*graph.Node{fold}
	for precision, want := range map[Precision]string{Float32: "fold_bn_f32", TF32: "fold_bn_f32", BFloat16: "fold_bn_bf16", Float16: "fold_bn_f16"} {
		p := NewPlanner(program, precision, Device{Compute: 90, SMs: 132})
		plan, err := p.Plan(n)
		if err != nil {
			t.Fatal(err)
		}
		if arg := plan.Launches[0].Args[1]; arg.Kind != ArgCopy || arg.Value != n.In[1] {
			t.Errorf("%v: the weight is %+v", precision, arg)
		}
		folded, err := p.Plan(fold)
		if err != nil {
			t.Fatal(err)
		}
		l := folded.Launches[0]
		if copied := l.Args[6]; l.Kernel != want || (copied.Kind == ArgCopy) != (precision.Map() != F32) {
			t.Errorf("%v: %s with copy %+v, want %s", precision, l.Kernel, copied, want)
		}
	}
}

// TestConvRefusesWhatIndicesCannotReach: the kernels count in 32 bits, and in 16 along a side.
func TestConvRefusesWhatIndicesCannotReach(t *testing.T) {
	for _, s := range [][2]graph.Shape{
		{{1, 8, 1, 40000}, {8, 8, 1, 1}},
		{{1, 8, 40000, 1}, {8, 8, 1, 1}},
		{{1 << 20, 8, 64, 64}, {8, 8, 1, 1}},
		{{1, 1 << 16, 1, 1}, {1 << 16, 1 << 16, 1, 1}},
		{{1, 2048, 2048, 2048}, {8, 2048, 1, 1}},
	} {
		for _, op := range convOps {
			n, program := convNode(op, s[0], s[1], graph.ConvAttr{Stride: 1, Groups: 1})
			if _, err := NewPlanner(program, BFloat16, Device{Compute: 90, SMs: 132}).Plan(n); err == nil {
				t.Errorf("%s of %v by %v is planned", op, s[0], s[1])
			}
		}
	}
}
