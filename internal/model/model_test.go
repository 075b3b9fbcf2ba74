package model

import (
	"testing"

	"senet/internal/graph"
)

func options(batch, size, channels, classes int) Options {
	mean, std := make([]float32, channels), make([]float32, channels)
	for i := range mean {
		mean[i], std[i] = 0.5, 0.25
	}
	return Options{Batch: batch, Height: size, Width: size, Channels: channels, Mean: mean, Std: std, Classes: classes, SE: SE{Reduction: 16}}
}

// TestParams compares the number of trained elements with torchvision's and timm's models.
func TestParams(t *testing.T) {
	for _, c := range []struct {
		name          string
		size, classes int
		params        int64
	}{
		{"resnet18", 224, 1000, 11_689_512},
		{"resnet34", 224, 1000, 21_797_672},
		{"resnet50", 224, 1000, 25_557_032},
		{"resnet101", 224, 1000, 44_549_160},
		{"resnet152", 224, 1000, 60_192_808},
		{"seresnet50", 224, 1000, 28_088_024},
	} {
		net, err := Build(c.name, options(1, c.size, 3, c.classes))
		if err != nil {
			t.Fatal(err)
		}
		var n int64
		for _, v := range net.Graph.Params() {
			n += int64(v.Shape.Elems())
		}
		if n != c.params {
			t.Errorf("%s: %d parameters, want %d", c.name, n, c.params)
		}
	}
}

// TestFused: the training program of each network has no unfused batch norm or SE left, and one
// fused tail for each batch norm but the projections'.
func TestFused(t *testing.T) {
	for _, name := range []string{"seresnet20_cifar", "resnet20_cifar", "seresnet50", "resnet18"} {
		net, err := Build(name, options(2, 64, 3, 10))
		if err != nil {
			t.Fatal(err)
		}
		p, err := graph.Training(net.Graph, net.Ends, graph.TrainingOptions{})
		if err != nil {
			t.Fatal(err)
		}
		count := map[graph.Op]int{}
		projections := 0
		for _, n := range p.Phases[graph.Step] {
			count[n.Op]++
			if n.Op == graph.BNSEAddReLU && n.In[graph.TailShortcutGamma] != nil {
				projections++
			}
		}
		for _, op := range []graph.Op{graph.BatchNorm, graph.Scale, graph.Sigmoid, graph.ReLU} {
			if count[op] != 0 {
				t.Errorf("%s: %d nodes of %s left unfused", name, count[op], op)
			}
		}
		if count[graph.Add] != count[graph.MaxPool] { // the pooled stem's two gradients have no tail to sum them
			t.Errorf("%s: %d additions of gradients, want %d", name, count[graph.Add], count[graph.MaxPool])
		}
		if count[graph.BNSEAddReLU]+projections != count[graph.Conv] {
			t.Errorf("%s: %d fused tails and %d projections for %d convolutions", name, count[graph.BNSEAddReLU], projections, count[graph.Conv])
		}
	}
}
