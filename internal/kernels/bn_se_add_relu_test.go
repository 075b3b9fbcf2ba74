package kernels

import (
	"slices"
	"testing"

	"senet/internal/graph"
)

var h100 = Device{Compute: 90, SMs: 132}

// tailNodes are the block tail on y (N, C, H, W) with r hidden units, 0 for none, and its gradient with dout in two addends.
func tailNodes(y graph.Shape, r int, shortcut string, relu bool) (forward, gradient *graph.Node) {
	value := func(s ...int) *graph.Value { return &graph.Value{Shape: s} }
	n, c := y[0], y[1]
	in, out := make([]*graph.Value, graph.TailShortcutBeta+1), make([]*graph.Value, graph.TailShortcutVar+1)
	in[graph.TailY], in[graph.TailGamma], in[graph.TailBeta] = value(y...), value(c), value(c)
	out[graph.TailOut], out[graph.TailMean], out[graph.TailVar] = value(y...), value(c), value(c)
	if r > 0 {
		in[graph.TailW1], in[graph.TailW2] = value(r, c), value(c, r)
		out[graph.TailImageMean], out[graph.TailHidden], out[graph.TailGate] = value(n, c), value(n, r), value(n, c)
	}
	if shortcut != "none" {
		in[graph.TailShortcut] = value(y...)
	}
	if shortcut == "projection" {
		in[graph.TailShortcutGamma], in[graph.TailShortcutBeta] = value(c), value(c)
		out[graph.TailShortcutMean], out[graph.TailShortcutVar] = value(c), value(c)
	}
	attr := graph.BNSEAddReLUAttr{Eps: 1e-5, ShortcutEps: 1e-5, ReLU: relu}
	forward = &graph.Node{Op: graph.BNSEAddReLU, Attr: attr, In: in, Out: out}

	saved := make([]*graph.Value, graph.TailGradSaved+graph.TailShortcutVar+1)
	saved[graph.TailGradDOut], saved[graph.TailGradDOut2] = value(y...), value(y...)
	copy(saved[graph.TailGradIn:], in)
	copy(saved[graph.TailGradSaved+graph.TailMean:], out[graph.TailMean:])
	if shortcut == "identity" {
		saved[graph.TailGradIn+graph.TailShortcut] = nil
	}
	if shortcut != "none" && relu {
		saved[graph.TailGradOut] = out[graph.TailOut]
	}
	grads := make([]*graph.Value, len(in))
	for i, v := range in {
		if v != nil {
			grads[i] = value(v.Shape...)
		}
	}
	return forward, &graph.Node{Op: graph.BNSEAddReLUGrad, Attr: attr, In: saved, Out: grads}
}

func planned(t *testing.T, precision Precision, n *graph.Node) Plan {
	t.Helper()
	program := &graph.Program{}
	program.Phases[graph.Step] = []*graph.Node{n}
	plan, err := NewPlanner(program, precision, h100).Plan(n)
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

func kernelsOf(p Plan) []string {
	var names []string
	for _, l := range p.Launches {
		names = append(names, l.Kernel)
	}
	return names
}

// TestTailLaunches: which kernels each variant takes, SE with two launches more forward and three backward.
func TestTailLaunches(t *testing.T) {
	y := graph.Shape{256, 256, 56, 56}
	for _, c := range []struct {
		shortcut          string
		r                 int
		relu              bool
		forward, gradient []string
	}{
		{
			"none", 0, true,
			[]string{"bn_se_add_relu_sums_bf16x8", "bn_se_add_relu_statistics", "bn_se_add_relu_none_bf16x8"},
			[]string{"bn_se_add_relu_grad_sums_y_bf16x8", "bn_se_add_relu_grad_channels", "bn_se_add_relu_grad_y_bf16x8"},
		},
		{
			"identity", 16, true,
			[]string{"bn_se_add_relu_sums_bf16x8", "bn_se_add_relu_statistics", "excitation_hidden", "excitation_gate", "bn_se_add_relu_identity_bf16x8"},
			[]string{
				"bn_se_add_relu_grad_sums_out_bf16x8", "excitation_grad_hidden", "excitation_grad_squeeze", "excitation_grad_weights",
				"bn_se_add_relu_grad_channels", "bn_se_add_relu_grad_out_bf16x8",
			},
		},
		{
			"projection", 0, false,
			[]string{"bn_se_add_relu_sums_bf16x8", "bn_se_add_relu_statistics", "bn_se_add_relu_projection_bf16x8"},
			[]string{"bn_se_add_relu_grad_sums_projection_bf16x8", "bn_se_add_relu_grad_channels", "bn_se_add_relu_grad_projection_bf16x8"},
		},
	} {
		forward, gradient := tailNodes(y, c.r, c.shortcut, c.relu)
		if got := kernelsOf(planned(t, BFloat16, forward)); !slices.Equal(got, c.forward) {
			t.Errorf("%s, r=%d: %v, want %v", c.shortcut, c.r, got, c.forward)
		}
		if got := kernelsOf(planned(t, BFloat16, gradient)); !slices.Equal(got, c.gradient) {
			t.Errorf("%s, r=%d, gradient: %v, want %v", c.shortcut, c.r, got, c.gradient)
		}
	}
}

// TestTailTraffic: with SE too, a pass moves few bytes beyond the maps that it must: y for the sums; y, shortcut and out;
// backward dout, dout2, out, y and dshortcut; then dshortcut, y and dy.
func TestTailTraffic(t *testing.T) {
	for _, y := range []graph.Shape{{256, 256, 56, 56}, {256, 2048, 7, 7}} {
		forward, gradient := tailNodes(y, y[1]/16, "identity", true)
		for _, c := range []struct {
			node *graph.Node
			maps float64
		}{{forward, 4}, {gradient, 8}} {
			total := int64(0)
			for _, l := range planned(t, BFloat16, c.node).Launches {
				if l.Bytes <= 0 {
					t.Errorf("%s %v: no bytes", l.Kernel, y)
				}
				total += l.Bytes
			}
			maps := float64(total) / float64(2*y.Elems())
			if !(maps >= c.maps && maps < 1.25*c.maps) {
				t.Errorf("%s %v: %.2f maps, want about %g", c.node.Op, y, maps, c.maps)
			}
		}
	}
}

// TestGradsNotWanted: what is not wanted is not computed where that saves a pass.
func TestGradsNotWanted(t *testing.T) {
	y := graph.Shape{4, 64, 8, 8}
	_, n := tailNodes(y, 0, "projection", true)
	n.Out[graph.TailShortcut] = nil
	if got := kernelsOf(planned(t, Float32, n)); got[2] != "bn_se_add_relu_grad_out_f32x4" {
		t.Errorf("no dshortcut: %v", got)
	}
	_, n = tailNodes(y, 0, "projection", true)
	n.Out[graph.TailY] = nil
	l := planned(t, Float32, n).Launches[2]
	if l.Kernel != "bn_se_add_relu_grad_out_f32x4" || l.Args[0].Value != n.Out[graph.TailShortcut] || l.Args[5].Value != n.In[graph.TailGradIn+graph.TailShortcut] {
		t.Errorf("no dy: %s of %v", l.Kernel, l.Args)
	}
	n.Out[graph.TailShortcut] = nil
	if got := kernelsOf(planned(t, Float32, n)); len(got) != 2 {
		t.Errorf("neither: %v", got)
	}
}

func TestReLUOverShortcutNeedsItsOutput(t *testing.T) {
	_, n := tailNodes(graph.Shape{2, 8, 3, 3}, 0, "identity", true)
	n.In[graph.TailGradOut] = nil
	if _, err := NewPlanner(&graph.Program{}, Float32, h100).Plan(n); err == nil {
		t.Error("want an error: y alone does not tell the sign of the sum")
	}
}
