package graph

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// block builds one residual block's tail in the given form over y and the shortcut x, both (2, 4, 6, 6).
type block struct {
	g    *Graph
	y, x *Value
}

func newBlock() *block {
	g := New()
	image := g.Normalize("normalize", g.Input("image", Shape{2, 6, 6, 4}, Uint8), make([]float32, 4), []float32{1, 1, 1, 1})
	b := &block{g: g, x: image}
	b.y = b.conv("conv", image)
	return b
}

func (b *block) conv(name string, x *Value) *Value {
	return b.g.Conv(name, x, b.g.Param(name+".weight", Shape{4, 4, 1, 1}, Kaiming()), nil, ConvAttr{Stride: 1, Groups: 1})
}

func (b *block) bn(name string, x *Value) *Value {
	c := Shape{4}
	return b.g.BatchNorm(name, x, b.g.Param(name+".weight", c, Ones()), b.g.Param(name+".bias", c, Zeros()),
		b.g.State(name+".running_mean", c, Zeros()), b.g.State(name+".running_var", c, Ones()), BatchNormAttr{Eps: 1e-5, Momentum: 0.1})
}

func (b *block) linear(name string, x *Value, units int) *Value {
	return b.g.Linear(name, x, b.g.Param(name+".weight", Shape{units, x.Shape[1]}, Kaiming()), b.g.Param(name+".bias", Shape{units}, Zeros()))
}

func (b *block) se(x *Value) *Value {
	return b.g.Scale("se.scale", x, b.gate(x))
}

func (b *block) gate(x *Value) *Value {
	h := b.g.ReLU("se.act", b.linear("se.fc1", b.g.GlobalAvgPool("se.squeeze", x), 2))
	return b.g.Sigmoid("se.gate", b.linear("se.fc2", h, 4))
}

// TestFuse: what follows a batch norm is fused with it as far as it is the standard form, and nothing else is.
func TestFuse(t *testing.T) {
	for _, c := range []struct {
		name  string
		build func(b *block) *Value
		want  string // the forward's ops between the convolutions and the head, with what each fused tail has
	}{
		{"batch norm", func(b *block) *Value { return b.bn("bn", b.y) }, "tail"},
		{"stem", func(b *block) *Value { return b.g.ReLU("relu", b.bn("bn", b.y)) }, "tail(relu)"},
		{"se", func(b *block) *Value { return b.se(b.bn("bn", b.y)) }, "tail(se)"},
		{"standard", func(b *block) *Value {
			return b.g.ReLU("relu", b.g.Add("add", b.se(b.bn("bn", b.y)), b.x))
		}, "tail(se,shortcut,relu)"},
		{"plain", func(b *block) *Value {
			return b.g.ReLU("relu", b.g.Add("add", b.bn("bn", b.y), b.x))
		}, "tail(shortcut,relu)"},
		{"projection", func(b *block) *Value {
			return b.g.ReLU("relu", b.g.Add("add", b.se(b.bn("bn", b.y)), b.bn("down", b.conv("down.conv", b.x))))
		}, "tail(se,projection,relu)"},
		{"no relu", func(b *block) *Value { return b.g.Add("add", b.bn("bn", b.y), b.x) }, "tail(shortcut)"},
		{"shortcut first", func(b *block) *Value {
			return b.g.ReLU("relu", b.g.Add("add", b.x, b.bn("bn", b.y)))
		}, "add relu tail"},
		{"doubled", func(b *block) *Value {
			y := b.bn("bn", b.y)
			return b.g.Add("add", y, y)
		}, "add tail"},
		{"post", func(b *block) *Value {
			return b.se(b.g.ReLU("relu", b.g.Add("add", b.bn("bn", b.y), b.x)))
		}, "global_avg_pool linear linear relu scale sigmoid tail(shortcut,relu)"},
		{"gate on another map", func(b *block) *Value {
			y := b.bn("bn", b.y)
			return b.g.Scale("scale", b.x, b.gate(y))
		}, "global_avg_pool linear linear relu scale sigmoid tail"},
		{"gate used twice", func(b *block) *Value {
			y := b.bn("bn", b.y)
			s := b.gate(y)
			return b.g.Add("add", b.g.Scale("scale", y, s), b.g.Scale("again", b.x, s))
		}, "add global_avg_pool linear linear relu scale scale sigmoid tail"},
		{"read elsewhere", func(b *block) *Value {
			y := b.bn("bn", b.y)
			return b.g.Add("again", b.g.ReLU("relu", b.g.Add("add", y, b.x)), y)
		}, "add add relu tail"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBlock()
			out := c.build(b)
			labels := b.g.Input("labels", Shape{2}, Int32)
			logits := b.linear("fc", b.g.GlobalAvgPool("pool", out), 3)
			ends := Ends{Image: b.g.Values[0], Labels: labels, Logits: logits, Loss: b.g.SoftmaxCrossEntropy("loss", logits, Targets{Labels: labels}, LossAttr{})}
			p, err := Training(b.g, ends, TrainingOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if got := forwardOps(p); got != c.want {
				t.Errorf("ops %q, want %q", got, c.want)
			}
			if len(p.Grads) != len(b.g.Params()) {
				t.Errorf("%d gradients for %d parameters", len(p.Grads), len(b.g.Params()))
			}
			if _, err := Inference(b.g, ends, InferenceOptions{}); err != nil {
				t.Errorf("inference: %v", err)
			}
		})
	}
}

// forwardOps lists the forward's ops that are neither convolutions nor the input's or the head's, sorted.
func forwardOps(p *Program) string {
	var ops []string
	for _, n := range p.Phases[Step] {
		switch {
		case n.Op == SoftmaxCrossEntropy:
			slices.Sort(ops)
			return strings.Join(ops, " ")
		case n.Op == BNSEAddReLU:
			ops = append(ops, describeTail(n))
		case n.Op != Conv && n.Op != Normalize && n.Name != "fc" && n.Name != "pool":
			ops = append(ops, string(n.Op))
		}
	}
	return "no loss"
}

func describeTail(n *Node) string {
	var parts []string
	if n.In[TailW1] != nil {
		parts = append(parts, "se")
	}
	if n.In[TailShortcutGamma] != nil {
		parts = append(parts, "projection")
	} else if n.In[TailShortcut] != nil {
		parts = append(parts, "shortcut")
	}
	if n.Attr.(BNSEAddReLUAttr).ReLU {
		parts = append(parts, "relu")
	}
	if parts == nil {
		return "tail"
	}
	return fmt.Sprintf("tail(%s)", strings.Join(parts, ","))
}

// TestTrainingErrors: a network that cannot be trained says why.
func TestTrainingErrors(t *testing.T) {
	b := newBlock()
	logits := b.linear("fc", b.g.GlobalAvgPool("pool", b.bn("bn", b.y)), 3)
	labels := b.g.Input("labels", Shape{2}, Int32)
	ends := Ends{Image: b.g.Values[0], Labels: labels, Logits: logits}
	if _, err := Training(b.g, ends, TrainingOptions{}); err == nil || !strings.Contains(err.Error(), "no loss") {
		t.Errorf("without a loss: %v", err)
	}
	ends.Loss = b.g.SoftmaxCrossEntropy("loss", logits, Targets{Labels: labels}, LossAttr{})
	b.g.Param("idle.weight", Shape{3}, Ones())
	if _, err := Training(b.g, ends, TrainingOptions{}); err == nil || !strings.Contains(err.Error(), `"idle.weight" does not reach the loss`) {
		t.Errorf("with an idle parameter: %v", err)
	}
}

// TestDecay: weight decay applies to the weights of convolutions and fully connected layers alone.
func TestDecay(t *testing.T) {
	b := newBlock()
	logits := b.linear("fc", b.g.GlobalAvgPool("pool", b.bn("bn", b.y)), 3)
	labels := b.g.Input("labels", Shape{2}, Int32)
	p, err := Training(b.g, Ends{Image: b.g.Values[0], Labels: labels, Logits: logits, Loss: b.g.SoftmaxCrossEntropy("loss", logits, Targets{Labels: labels}, LossAttr{})}, TrainingOptions{})
	if err != nil {
		t.Fatal(err)
	}
	sgd := p.Phases[Update][len(p.Phases[Update])-1]
	got := map[string]bool{}
	for i, on := range sgd.Attr.(SGDAttr).Decay {
		got[sgd.Out[2*i].Name] = on
	}
	want := map[string]bool{"conv.weight": true, "bn.weight": false, "bn.bias": false, "fc.weight": true, "fc.bias": false}
	if !maps.Equal(got, want) {
		t.Errorf("decay %v, want %v", got, want)
	}
}

// TestLossScale: the scale enters the loss's gradient and leaves in the norm and the update; without the option there is none.
func TestLossScale(t *testing.T) {
	for _, on := range []bool{false, true} {
		b := newBlock()
		logits := b.linear("fc", b.g.GlobalAvgPool("pool", b.bn("bn", b.y)), 3)
		labels := b.g.Input("labels", Shape{2}, Int32)
		ends := Ends{Image: b.g.Values[0], Labels: labels, Logits: logits, Loss: b.g.SoftmaxCrossEntropy("loss", logits, Targets{Labels: labels}, LossAttr{})}
		p, err := Training(b.g, ends, TrainingOptions{LossScale: on})
		if err != nil {
			t.Fatal(err)
		}
		if (p.LossScale != nil) != on || slices.Contains(p.Inputs(), p.LossScale) != on || p.Find("loss_scale") != p.LossScale {
			t.Fatalf("loss scale %v: the program has %v", on, p.LossScale)
		}
		at := map[Op]int{SoftmaxCrossEntropyGrad: 4, GlobalNorm: 0, SGD: 1}
		for _, n := range p.Nodes() {
			i, scaled := at[n.Op]
			delete(at, n.Op)
			if j := slices.Index(n.In, p.LossScale); on && scaled && j != i || on && !scaled && j >= 0 || scaled && n.In[i] != p.LossScale {
				t.Errorf("loss scale %v: %s has it at %d", on, n.Op, j)
			}
		}
		if len(at) > 0 {
			t.Errorf("no node of %v", at)
		}
	}
}
