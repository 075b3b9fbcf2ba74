package model

import (
	"fmt"
	"slices"
	"testing"

	"senet/internal/graph"
)

// TestGatesAreThoseOfEachStagesLastBlock: also where stages have none, and where the tail cannot be fused.
func TestGatesAreThoseOfEachStagesLastBlock(t *testing.T) {
	for _, c := range []struct {
		name string
		se   SE
		want []string
	}{
		{"seresnet20_cifar", SE{Reduction: 4}, []string{"1 layer1.2.se.gate", "2 layer2.2.se.gate", "3 layer3.2.se.gate"}},
		{"seresnet20_cifar", SE{Reduction: 4, Stages: []int{1, 3}, Placement: Post, Gate: GateTanh}, []string{"1 layer1.2.se.gate", "3 layer3.2.se.gate"}},
		{"se_bninception", SE{Reduction: 16}, []string{"1 inception_3c_se.gate", "2 inception_4e_se.gate", "3 inception_5b_se.gate"}},
		{"resnet20_cifar", SE{Reduction: 4}, nil},
	} {
		o := options(2, 32, 1, 10)
		if c.name == "se_bninception" {
			o = options(2, 224, 3, 10)
		}
		o.SE = c.se
		net, err := Build(c.name, o)
		if err != nil {
			t.Fatal(err)
		}
		var have []string
		var keep []*graph.Value
		for _, g := range net.Gates {
			have = append(have, fmt.Sprintf("%d %s", g.Stage, g.Value.Name))
			keep = append(keep, g.Value)
		}
		if !slices.Equal(have, c.want) {
			t.Errorf("%s %+v: gates %q, want %q", c.name, c.se, have, c.want)
		}
		for _, unfused := range []bool{false, true} {
			p, err := graph.Inference(net.Graph, net.Ends, graph.InferenceOptions{Unfused: unfused, Keep: keep})
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
				continue
			}
			for _, v := range keep {
				if !slices.Contains(p.Outputs(), v) {
					t.Errorf("%s: %s is no output", c.name, v.Name)
				}
			}
		}
	}
}
