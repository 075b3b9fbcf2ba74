package model_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gorgonia.org/tensor"

	"senet/internal/backend"
	"senet/internal/checkpoint"
	"senet/internal/graph"
	"senet/internal/model"
	"senet/internal/ref"
)

// TestGradients compares a training step of the large networks with PyTorch's: loss, logits, and each parameter's gradient
// by its sums under random signs. Both compute in float64, so that no ReLU falls on the other side of 0; the fast backends
// are compared with the oracle op by op and on small networks.
func TestGradients(t *testing.T) {
	all, _, err := checkpoint.LoadModel(filepath.Join("testdata", "pytorch", "sketches.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"seresnet50", "seresnext50_32x4d", "legacy_senet154", "se_bninception"} {
		t.Run(name, func(t *testing.T) {
			c := &comparison{backend: ref.New(), tolerance: 1e-5, want: map[string]*tensor.Dense{"labels": all["labels"]}}
			for key, x := range all {
				if own, ok := strings.CutPrefix(key, name+"/"); ok {
					c.want[own] = x
				}
			}
			if c.want["pixels"] == nil {
				t.Fatal("the fixture has no pixels")
			}
			side := c.want["pixels"].Shape()[1]
			net, err := model.Build(name, options(3, side, side, 3))
			if err != nil {
				t.Fatal(err)
			}
			c.net = net
			if have, want := len(c.want), len(net.Graph.Params())+4; have != want {
				t.Fatalf("the fixture has %d tensors of the network, want %d", have, want)
			}
			c.step(t)
		})
	}
}

// step runs a training step and compares what it computed.
func (c *comparison) step(t *testing.T) {
	p, err := graph.Training(c.net.Graph, c.net.Ends, graph.TrainingOptions{})
	if err != nil {
		t.Fatal(err)
	}
	p.Phases[graph.Update] = slices.DeleteFunc(p.Phases[graph.Update], func(n *graph.Node) bool {
		return n.Op == graph.SGD // its momenta would take a gigabyte
	})
	exe := c.start(t, p)
	run(t, exe, graph.Step)
	c.compare(t, "loss", read(t, exe, p.Loss))
	c.compare(t, "logits", read(t, exe, p.Logits))
	for _, v := range c.net.Graph.Params() {
		name := "gradient/" + v.Name
		if c.want[name] == nil {
			t.Fatalf("the fixture has no %q", name)
		}
		c.compare(t, name, sums(exe, v, p.Grads[v], c.want[name].Size()))
	}
}

// sums are those of a gradient under the random signs of sketches in make_fixtures.py.
func sums(exe backend.Executable, v, gradient *graph.Value, count int) []float64 {
	xs := exe.(*ref.Executable).Float64(gradient)
	out := make([]float64, count)
	for k := range out {
		for i, u := range uniform(fmt.Sprintf("%s sign %d", v.Name, k)) {
			if i == len(xs) {
				break
			}
			if u < 0.5 {
				out[k] -= xs[i]
			} else {
				out[k] += xs[i]
			}
		}
	}
	return out
}
