package model

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"senet/internal/graph"
)

var update = flag.Bool("update", false, "write docs/models.md anew")

// published are the parameters of the ImageNet networks in timm 1.0.31 (sum of numel over parameters()), of SE-BN-Inception in the
// authors' SE-BN-Inception.prototxt, and of BN-Inception in the same without its SE layers. The authors' prototxts of
// SE-ResNet-50, -101, -152, SE-ResNeXt-50, -101 and SENet-154 give the same numbers as timm's legacy_* networks.
var published = map[string]int64{
	"resnet18": 11_689_512, "resnet34": 21_797_672, "resnet50": 25_557_032, "resnet101": 44_549_160, "resnet152": 60_192_808,
	"resnext50_32x4d": 25_028_904, "resnext101_32x4d": 44_177_704,
	"seresnet18": 11_779_624, "seresnet34": 21_960_416, "seresnet50": 28_088_024, "seresnet101": 49_326_872, "seresnet152": 66_821_848,
	"seresnext50_32x4d": 27_559_896, "seresnext101_32x4d": 48_955_416,
	"legacy_seresnet18": 11_778_592, "legacy_seresnet34": 21_958_868, "legacy_seresnet50": 28_088_024,
	"legacy_seresnet101": 49_326_872, "legacy_seresnet152": 66_821_848,
	"legacy_seresnext50_32x4d": 27_559_896, "legacy_seresnext101_32x4d": 48_955_416, "legacy_senet154": 115_088_984,
	"bninception": 11_931_622 - 646_398, "se_bninception": 11_931_622,
}

// TestZoo: every network has the published number of parameters, and docs/models.md, which this test writes with -update, says so.
func TestZoo(t *testing.T) {
	var b strings.Builder
	b.WriteString(`# Networks

Written by ` + "`go test ./internal/model -run TestZoo -update`" + `; the test fails when it is out of date. ImageNet networks have
1000 classes and 224x224 RGB images, CIFAR networks 10 classes and 32x32. FLOPs are multiply-adds for one image. The last three columns are
what the SE blocks add to the same network without them: parameters in all stages, without the last stage, and FLOPs.

| model | parameters | published | FLOPs | SE parameters | without last stage | SE FLOPs |
|---|---|---|---|---|---|---|
`)
	for _, name := range Names() {
		size, classes, last := 224, 1000, 4
		if strings.HasSuffix(name, "_cifar") {
			size, classes, last = 32, 10, 3
		}
		if strings.HasSuffix(name, "bninception") {
			last = 3
		}
		o := options(1, size, 3, classes)
		params, flops := costs(t, name, o)
		want, ok := published[name]
		if ok && want != params {
			t.Errorf("%s has %d parameters, published are %d", name, params, want)
		}
		reference := "-"
		if ok {
			reference = fmt.Sprint(want)
		}
		fmt.Fprintf(&b, "| %s | %d | %s | %d |", name, params, reference, flops)
		if !HasSE(name) {
			b.WriteString(" | | |\n")
			continue
		}
		o.SE = o.SE.Without()
		plainParams, plainFLOPs := costs(t, name, o)
		o.SE.Stages = []int{1, 2, 3}[:last-1]
		fewer, _ := costs(t, name, o)
		percent := func(x, of int64) string { return fmt.Sprintf("%.2f %%", 100*float64(x-of)/float64(of)) }
		fmt.Fprintf(&b, " %s | %s | %s |\n", percent(params, plainParams), percent(fewer, plainParams), percent(flops, plainFLOPs))
		if float64(flops-plainFLOPs) > 0.01*float64(plainFLOPs) && size == 224 {
			t.Errorf("%s: SE adds more than 1 %% of FLOPs: %d to %d", name, flops-plainFLOPs, plainFLOPs)
		}
	}
	const path = "../../docs/models.md"
	if *update {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != b.String() {
		t.Errorf("%s is out of date: run this test with -update", path)
	}
}

func costs(t *testing.T, name string, o Options) (params, flops int64) {
	t.Helper()
	net, err := Build(name, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range net.Graph.Nodes {
		c := graph.CostOf(n)
		params, flops = params+c.Params, flops+c.FLOPs
	}
	return params, flops
}

// TestSEWidth compares the hidden units with timm's rounding (make_divisible of timm.layers.SEModule), the plain ratio and a fixed width.
func TestSEWidth(t *testing.T) {
	for _, c := range []struct {
		se       SE
		channels int
		want     int
	}{
		{SE{Reduction: 16, Divisor: 8}, 64, 8},
		{SE{Reduction: 16, Divisor: 8}, 256, 16},
		{SE{Reduction: 16, Divisor: 8}, 2048, 128},
		{SE{Reduction: 16, Divisor: 8}, 320, 24},
		{SE{Reduction: 16, Divisor: 8}, 304, 16},
		{SE{Reduction: 16, Divisor: 8}, 300, 16},
		{SE{Reduction: 2, Divisor: 8}, 64, 32},
		{SE{Reduction: 64, Divisor: 8}, 2048, 32},
		{SE{Reduction: 16, Divisor: 1}, 64, 4},
		{SE{Reduction: 16, Divisor: 1}, 1056, 66},
		{SE{Reduction: 64, Divisor: 1}, 32, 1},
		{SE{Reduction: 16, Hidden: 16}, 2048, 16},
	} {
		if got := c.se.HiddenUnits(c.channels); got != c.want {
			t.Errorf("%+v of %d channels: %d hidden units, want %d", c.se, c.channels, got, c.want)
		}
	}
}

// TestSEOptions: each option changes the network as it says, every combination builds, trains and infers.
func TestSEOptions(t *testing.T) {
	for _, name := range []string{"legacy_seresnet50", "se_bninception", "seresnet20_cifar"} {
		for _, placement := range Placements {
			for _, squeeze := range Squeezes {
				for _, gate := range Gates {
					o := options(2, 64, 3, 10)
					o.Dropout = 0.2
					o.SE = SE{Reduction: 16, Placement: placement, Squeeze: squeeze, Gate: gate, NoBias: gate == GateTanh}
					net, err := Build(name, o)
					if name == "se_bninception" && placement != Standard {
						if err == nil || !strings.Contains(err.Error(), "placement") {
							t.Fatalf("%s %+v: error %v", name, o.SE, err)
						}
						continue
					}
					if err != nil {
						t.Fatal(err)
					}
					p, err := graph.Training(net.Graph, net.Ends, graph.TrainingOptions{})
					if err != nil {
						t.Fatalf("%s %+v: %v", name, o.SE, err)
					}
					if _, err := graph.Inference(net.Graph, net.Ends, graph.InferenceOptions{}); err != nil {
						t.Fatalf("%s %+v: %v", name, o.SE, err)
					}
					fused := placement == Standard && squeeze == SqueezeAvg && gate == GateSigmoid && name != "se_bninception"
					if scales := count(p, graph.Scale); (scales == 0) != fused {
						t.Errorf("%s %+v: %d scales left unfused", name, o.SE, scales)
					}
				}
			}
		}
	}
}

func count(p *graph.Program, op graph.Op) int {
	n := 0
	for _, node := range p.Phases[graph.Step] {
		if node.Op == op {
			n++
		}
	}
	return n
}

// TestBuildErrors: options that make no sense are refused by name.
func TestBuildErrors(t *testing.T) {
	for want, change := range map[string]func(o *Options){
		"classes":              func(o *Options) { o.Classes = 1 },
		"batch 0":              func(o *Options) { o.Batch = 0 },
		"dropout 1":            func(o *Options) { o.Dropout = 1 },
		"label smoothing 1":    func(o *Options) { o.LabelSmoothing = 1 },
		"neither reduction":    func(o *Options) { o.SE.Reduction = 0 },
		"divisor -1":           func(o *Options) { o.SE.Divisor = -1 },
		`placement "nowhere"`:  func(o *Options) { o.SE.Placement = "nowhere" },
		`squeeze "min"`:        func(o *Options) { o.SE.Squeeze = "min" },
		`gate "step"`:          func(o *Options) { o.SE.Gate = "step" },
		"does not fit input (": func(o *Options) { o.Height = 1; o.Width = 1 },
	} {
		o := options(1, 64, 3, 10)
		change(&o)
		if _, err := Build("se_bninception", o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
}
