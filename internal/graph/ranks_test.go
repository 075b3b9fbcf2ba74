package graph

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// deep is a chain of convolutions of width x width weights, each with a batch norm, and a linear layer with a loss.
func deep(t *testing.T, layers, width int) (*Graph, Ends) {
	t.Helper()
	g := New()
	image, labels := g.Input("image", Shape{2, 4, 4, width}, Uint8), g.Input("labels", Shape{2}, Int32)
	x := g.Normalize("normalize", image, make([]float32, width), slices.Repeat([]float32{1}, width))
	c := Shape{width}
	for i := range layers {
		name := fmt.Sprintf("%d.", i)
		x = g.Conv(name+"conv", x, g.Param(name+"conv.weight", Shape{width, width, 1, 1}, Kaiming()), nil, ConvAttr{Stride: 1, Groups: 1})
		x = g.BatchNorm(name+"bn", x, g.Param(name+"bn.weight", c, Ones()), g.Param(name+"bn.bias", c, Zeros()),
			g.State(name+"bn.running_mean", c, Zeros()), g.State(name+"bn.running_var", c, Ones()), BatchNormAttr{Eps: 1e-5, Momentum: 0.1})
	}
	logits := g.Linear("fc", g.GlobalAvgPool("pool", x), g.Param("fc.weight", Shape{3, width}, Kaiming()), g.Param("fc.bias", Shape{3}, Zeros()))
	loss := g.SoftmaxCrossEntropy("loss", logits, Targets{Labels: labels}, LossAttr{})
	if err := g.Err(); err != nil {
		t.Fatal(err)
	}
	return g, Ends{Image: image, Labels: labels, Logits: logits, Loss: loss}
}

func training(t *testing.T, g *Graph, e Ends, o TrainingOptions) *Program {
	t.Helper()
	p, err := Training(g, e, o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// reductions describes what each all_reduce of a phase takes, and after which node.
func reductions(p *Program, ph Phase) []string {
	var all []string
	after := "nothing"
	for _, n := range p.Phases[ph] {
		if n.Op != AllReduce {
			after = fmt.Sprint(n.Op, " ", n.Name)
			continue
		}
		text := fmt.Sprintf("%+v after %s:", n.Attr, after)
		for i, v := range n.In {
			text += " " + v.Name
			if n.Out[i] == v {
				text += "!"
			}
		}
		all = append(all, text)
	}
	return all
}

// TestBuckets: a bucket is closed by the value that fills it, the first by 1 MiB, later ones by 25 MiB.
func TestBuckets(t *testing.T) {
	for _, c := range []struct{ sizes, want []int }{ // in KiB; values a bucket
		{nil, nil},
		{[]int{1}, []int{1}},
		{[]int{512, 511, 1, 1}, []int{3, 1}},
		{[]int{2048, 25599, 1, 25600, 3}, []int{1, 2, 1, 1}},
		{[]int{100000, 100000}, []int{1, 1}},
	} {
		var vs []*Value
		for _, size := range c.sizes {
			vs = append(vs, &Value{Shape: Shape{size << 8}})
		}
		var have []int
		for _, bucket := range buckets(vs) {
			have = append(have, len(bucket))
		}
		if !slices.Equal(have, c.want) || !slices.Equal(slices.Concat(buckets(vs)...), vs) {
			t.Errorf("%v KiB: have buckets of %v values, want %v", c.sizes, have, c.want)
		}
	}
}

// TestReductions: where the ranks of a job meet, and over what; "!" is in place. A bucket of gradients stands right after the node
// that finishes its last one; each gradient is in exactly one.
func TestReductions(t *testing.T) {
	g, ends := deep(t, 3, 600) // 1.4 MiB a convolution
	const (
		first   = "d fc.weight d fc.bias d 2.bn.weight d 2.bn.bias d 2.conv.weight"
		second  = "d 1.bn.weight d 1.bn.bias d 1.conv.weight d 0.bn.weight d 0.bn.bias d 0.conv.weight"
		sums    = "0.conv.weight.grad_sum!"
		moreSum = " 0.bn.weight.grad_sum! 0.bn.bias.grad_sum! 1.conv.weight.grad_sum! 1.bn.weight.grad_sum! 1.bn.bias.grad_sum!" +
			" 2.conv.weight.grad_sum! 2.bn.weight.grad_sum! 2.bn.bias.grad_sum! fc.weight.grad_sum! fc.bias.grad_sum!"
		states = " 0.bn.running_mean! 0.bn.running_var! 1.bn.running_mean! 1.bn.running_var! 2.bn.running_mean! 2.bn.running_var!"
		emas   = " 0.bn.running_mean.ema! 0.bn.running_var.ema! 1.bn.running_mean.ema! 1.bn.running_var.ema! 2.bn.running_mean.ema! 2.bn.running_var.ema!"
		full   = "{Ranks:3 Half:false} after "
		half   = "{Ranks:3 Half:true} after "
	)
	for _, c := range []struct {
		name                string
		o                   TrainingOptions
		step, update, share []string
	}{
		{"alone", TrainingOptions{Ranks: 1, HalfWire: true, SyncBN: true, Accumulate: true, EMADecay: 0.5}, nil, nil, nil},
		{"float32", TrainingOptions{Ranks: 3}, []string{
			full + "conv_grad_weight 2.conv: " + first, full + "conv_grad_weight 0.conv: " + second + " loss stop",
		}, nil, []string{full + "nothing:" + states}},
		{"bfloat16", TrainingOptions{Ranks: 3, HalfWire: true, EMADecay: 0.5}, []string{
			half + "conv_grad_weight 2.conv: " + first, half + "conv_grad_weight 0.conv: " + second, full + "conv_grad_weight 0.conv: loss stop",
		}, nil, []string{full + "nothing:" + states + emas}},
		{
			"accumulated",
			TrainingOptions{Ranks: 3, HalfWire: true, Accumulate: true, ClipNorm: 1},
			[]string{full + "global_norm grad_norm: loss grad_norm stop"},
			[]string{half + "nothing: " + sums, half + "nothing:" + moreSum},
			[]string{full + "nothing:" + states},
		},
	} {
		p := training(t, g, ends, c.o)
		for ph, want := range map[Phase][]string{Step: c.step, Accumulate: nil, Update: c.update, Share: c.share} {
			if have := reductions(p, ph); !slices.Equal(have, want) {
				t.Errorf("%s, phase %d: have\n%s\nwant\n%s", c.name, ph, strings.Join(have, "\n"), strings.Join(want, "\n"))
			}
		}
	}
}

// TestReducedValues: norm, optimiser and host read what came back from the other ranks.
func TestReducedValues(t *testing.T) {
	g, ends := deep(t, 2, 8)
	for _, accumulate := range []bool{false, true} {
		p := training(t, g, ends, TrainingOptions{Ranks: 2, Accumulate: accumulate, ClipNorm: 1})
		reduced := map[*Value]bool{}
		for _, n := range p.Nodes() {
			if n.Op == AllReduce {
				for _, v := range n.Out {
					reduced[v] = true
				}
			}
			if n.Op == SGD || n.Op == GlobalNorm && (n.Name == "update_norm" || !accumulate) {
				for _, v := range n.In {
					if v != nil && v.Role != Input && v != p.Accumulated && v.Name != "grad_norm" && v.Name != "update_norm" && !reduced[v] {
						t.Errorf("accumulate %v: %s %q reads this rank's own %q", accumulate, n.Op, n.Name, v.Name)
					}
				}
			}
		}
		for _, v := range []*Value{p.Loss, p.Stopped} {
			if !reduced[v] || !slices.Contains(p.Outputs(), v) {
				t.Errorf("accumulate %v: %q is this rank's own, or no output", accumulate, v.Name)
			}
		}
		if reduced[p.GradNorm] != accumulate || !slices.Contains(p.Inputs(), p.Stop) || p.Find("stop") != p.Stop {
			t.Errorf("accumulate %v: norm reduced %v, inputs %v", accumulate, reduced[p.GradNorm], p.Inputs())
		}
		for _, param := range g.Params() {
			if reduced[p.Grads[param]] == accumulate {
				t.Errorf("accumulate %v: the gradient of %q is reduced: %v", accumulate, param.Name, !accumulate)
			}
		}
	}
}

// TestSyncBN: statistics are of all ranks' images in every batch norm and its gradient, fused or not, and are counted so.
func TestSyncBN(t *testing.T) {
	g, ends := deep(t, 2, 8)
	for _, unfused := range []bool{false, true} {
		for _, sync := range []bool{false, true} {
			p := training(t, g, ends, TrainingOptions{Ranks: 3, SyncBN: sync, Unfused: unfused})
			norms, ranks, count := 0, 1, 2*4*4
			if sync {
				ranks, count = 3, 3*count
			}
			for _, n := range p.Nodes() {
				switch n.Op {
				case BatchNorm, BatchNormGrad, BNSEAddReLU, BNSEAddReLUGrad:
					norms++
					if n.Ranks() != ranks {
						t.Errorf("unfused %v, sync %v: %s %q is of %d ranks", unfused, sync, n.Op, n.Name, n.Ranks())
					}
				case RunningStats:
					if have := n.Attr.(RunningStatsAttr).Count; have != count {
						t.Errorf("unfused %v, sync %v: %q counts %d values, want %d", unfused, sync, n.Name, have, count)
					}
				}
			}
			if norms != 4 {
				t.Errorf("unfused %v, sync %v: %d batch norms and gradients, want 4", unfused, sync, norms)
			}
		}
	}
	for _, n := range g.Nodes {
		if n.Ranks() != 1 {
			t.Errorf("the graph's own %q was changed", n.Name)
		}
	}
}

// A sum is awaited before the first node that reads or writes it, or at the end.
func TestAwaited(t *testing.T) {
	a, b, c, d := &Value{Name: "a"}, &Value{Name: "b"}, &Value{Name: "c"}, &Value{Name: "d"}
	nodes := []*Node{
		{Op: AllReduce, In: []*Value{a}, Out: []*Value{a, b}},
		{Op: AllReduce, In: []*Value{c}, Out: []*Value{c}},
		{Op: AllReduce, In: []*Value{d}, Out: []*Value{d}},
		{Op: ReLU, In: []*Value{nil, d}, Out: []*Value{{Name: "e"}}},
		{Op: ReLU, In: []*Value{nil}, Out: []*Value{c, nil}},
	}
	sums := func(n *Node) bool { return n.Op == AllReduce }
	if have, want := fmt.Sprint(Awaited(nodes, sums)), "[[] [] [] [2] [1] [0]]"; have != want {
		t.Errorf("have %s, want %s", have, want)
	}
	if have, want := fmt.Sprint(Awaited(nodes, func(n *Node) bool { return sums(n) && n.In[0] != d })), "[[] [] [] [] [1] [0]]"; have != want {
		t.Errorf("without d: have %s, want %s", have, want)
	}
}
