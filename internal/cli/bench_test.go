package cli

import (
	"math"
	"slices"
	"strings"
	"testing"

	"senet/internal/backend"
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
		"bench":     "accepts 1 arg(s), received 0",
		"bench fly": `"fly": want train, infer, kernels or data`,
		"bench kernels --model resnet18 --against resnet34":              "--against is for train and infer",
		"bench train --model resnet18 --train":                           "--train for kernels",
		"bench train":                                                    "--model is required",
		"bench infer --model resnet50 --steps 0":                         "--steps 0",
		"bench infer --model resnet51":                                   "unknown model",
		"bench infer --model resnet50 --channels 0":                      "all must be at least 1",
		"bench infer --model bninception --batch 1 --size 4 --classes 2": "does not fit input",
	} {
		senet(strings.Fields(args)...).want(t, 2, want)
	}
}

// TestBenchKernels: a line for each op and shape, as one object and as a table, with what the device's memory could do where it says so.
func TestBenchKernels(t *testing.T) {
	args := strings.Fields("bench kernels --train --device cpu --threads 1 --model seresnet20_cifar --batch 2 --size 8 --channels 1 --classes 10 --hidden 8 --steps 2 --warmup 1")
	o := senet(append(args, "--json")...)
	o.want(t, 0)
	r := one[benchKernelsReport](t, o)
	if r.What != "kernels" || !r.Train || r.Model != "seresnet20_cifar" || r.Batch != 2 || !slices.Equal(r.Input, []int{1, 8, 8}) || r.Steps != 2 || r.Peak != 0 {
		t.Errorf("report %+v", r)
	}
	convs := 0
	for _, k := range r.Kernels {
		if !(k.Microseconds >= 0) || k.Bytes <= 0 || k.Peak != 0 || !(k.Microseconds == 0 || math.Abs(k.Speed*k.Microseconds/1e6/float64(k.Bytes)-1) < 1e-3) {
			t.Errorf("%+v", k)
		}
		if k.Op == "conv_grad_weight" {
			convs += k.Runs
		}
	}
	if convs != 21 {
		t.Errorf("%d gradients of convolutions' weights, want 21", convs)
	}

	open := func(o deviceOptions) (backend.Backend, string, error) {
		b, note, err := openDevice(o)
		return peaking{b}, note, err
	}
	o = run(deps{open: open}, args...)
	o.want(t, 0)
	rows := strings.Split(strings.TrimSuffix(o.out, "\n"), "\n")
	if len(rows) != len(r.Kernels)+3 || !strings.HasPrefix(rows[0], "kernels of seresnet20_cifar, training, batch 2, image (1, 8, 8), 2 steps, on cpu: ") || !strings.HasSuffix(rows[len(rows)-1], " ms a step") {
		t.Errorf("%d rows:\n%s", len(rows), o.out)
	}
	for _, row := range rows[1 : len(rows)-1] {
		if len(row) != len(rows[1]) || row != rows[1] && !strings.HasSuffix(row, " %") && !strings.HasSuffix(row, " -") {
			t.Errorf("row %q", row)
		}
	}
}

// peaking is a backend whose memory moves a terabyte a second.
type peaking struct{ backend.Backend }

func (peaking) PeakBandwidth() float64 { return 1e12 }
