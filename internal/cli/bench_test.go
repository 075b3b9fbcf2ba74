package cli

import (
	"math"
	"strings"
	"testing"
)

// TestBench: networks are measured in turn and compared, with the shares of their ops, in text and as one object.
func TestBench(t *testing.T) {
	args := strings.Fields("bench train --device cpu --threads 1 --model seresnet20_cifar --against resnet20_cifar --batch 2 --size 8 --channels 1 --classes 10 --hidden 8 --steps 3 --warmup 1 --profile")
	o := senet(append(args, "--json")...)
	o.want(t, 0)
	r := one[benchReport](t, o)
	if r.Ratio == nil || !(r.Ratio.Median > 0) || r.What != "train" || r.Batch != 2 || r.Steps != 3 || len(r.Networks) != 2 || !strings.HasPrefix(r.Device, "cpu: ") {
		t.Fatalf("report %+v", r)
	}
	for _, n := range r.Networks {
		if len(n.Seconds) != 3 || !(n.Speed.Low > 0 && n.Speed.Low <= n.Speed.Median && n.Speed.Median <= n.Speed.High) || n.Planned <= 0 {
			t.Errorf("%+v", n)
		}
		percent, runs := 0.0, map[string]int{}
		for _, s := range n.Profile {
			percent += s.Percent
			runs[s.Op] = s.Runs
		}
		if !(math.Abs(percent-100) < 1e-6) || !(n.Convs > 0 && n.Convs < 100 && n.GFLOPs > 0) {
			t.Errorf("%s: shares of %v %%, convolutions %v %% at %v GFLOP/s", n.Model, percent, n.Convs, n.GFLOPs)
		}
		// 19 convolutions of 3x3 and 2 projections; the first needs no gradient of its input.
		if runs["conv"] != 21 || runs["conv_grad_weight"] != 21 || runs["conv_grad_input"] != 20 || runs["sgd"] != 1 {
			t.Errorf("%s: runs %v", n.Model, runs)
		}
	}
	o = senet(args...)
	o.want(t, 0)
	for _, want := range []string{"train, batch 2, image (1, 8, 8), 3 steps, on cpu: ", "time of seresnet20_cifar to resnet20_cifar: ", "bn_se_add_relu_grad", "convolutions take "} {
		if !strings.Contains(o.out, want) {
			t.Errorf("the text lacks %q:\n%s", want, o.out)
		}
	}
}

func TestBenchErrors(t *testing.T) {
	for args, want := range map[string]string{
		"bench":                                  "accepts 1 arg(s), received 0",
		"bench fly":                              `"fly": want train or infer`,
		"bench train":                            "--model is required",
		"bench infer --model resnet50 --steps 0": "--steps 0",
		"bench infer --model resnet51":           "unknown model",
		"bench infer --model resnet50 --channels 0":                      "all must be at least 1",
		"bench infer --model bninception --batch 1 --size 4 --classes 2": "does not fit input",
	} {
		senet(strings.Fields(args)...).want(t, 2, want)
	}
}
