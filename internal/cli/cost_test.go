package cli

import (
	"math"
	"path/filepath"
	"strings"
	"testing"
)

// TestCostCounts: the figures of Hu et al. 2018, section 6.3 and table 2: 28.1 M and 25.6 M parameters, 4 % more without the last
// stage's blocks, FLOPs below 1 % more; SE-BN-Inception has 11.9 M.
func TestCostCounts(t *testing.T) {
	o := senet("cost", "--no-time", "--json")
	o.want(t, 0)
	r := one[costReport](t, o)
	if len(r.Networks) != 3 || r.Device != "" || r.Batch != 0 {
		t.Fatalf("report %+v", r)
	}
	for i, want := range []struct {
		model         string
		with, without int64
		percent       float64
	}{
		{"seresnet50", 28_088_024, 25_557_032, 9.903},
		{"seresnet50", 26_508_632, 25_557_032, 3.723},
		{"se_bninception", 11_931_622, 11_285_224, 5.728},
	} {
		n := r.Networks[i]
		if n.Model != want.model || n.With.Params != want.with || n.Without.Params != want.without || !(math.Abs(n.Added.Params-want.percent) < 1e-3) {
			t.Errorf("%+v, want %+v", n, want)
		}
		if !(n.Added.FLOPs > 0 && n.Added.FLOPs < 1 && n.Added.Activation > 0) || n.Infer != nil || n.Train != nil {
			t.Errorf("%s adds %+v, times %v, %v", n.Model, n.Added, n.Infer, n.Train)
		}
	}
}

// TestCostOfAConfig: measured in inference and training beside its twin, as an object, a table and a chart.
func TestCostOfAConfig(t *testing.T) {
	f := newFixture(t)
	chart := filepath.Join(t.TempDir(), "cost.svg")
	args := []string{
		"cost", "--config", f.config, "--set", "model.se.stages=[2, 3]", "--set", "model.se.reduction=4", "--device", "cpu", "--threads", "1",
		"--batch", "2", "--steps", "3", "--warmup", "1",
	}
	r := one[costReport](t, senet(append(args, "--json")...))
	n := r.Networks[0]
	if len(r.Networks) != 1 || r.Batch != 2 || r.Steps != 3 || !strings.HasPrefix(r.Device, "cpu: ") || n.Model != "seresnet20_cifar" || len(n.Stages) != 2 || n.Input[1] != side {
		t.Fatalf("report %+v", r)
	}
	for _, x := range []*costTime{n.Infer, n.Train} {
		if x == nil || x.WithPlanned < x.WithoutPlanned || x.WithoutPlanned <= 0 {
			t.Fatalf("time %+v", x)
		}
		for _, s := range []benchSpread{x.With, x.Without, x.Ratio} {
			if !(s.Low > 0 && s.Low <= s.Median && s.Median <= s.High) {
				t.Errorf("spread %+v", s)
			}
		}
	}
	if !(n.Train.With.Median > n.Infer.With.Median) {
		t.Errorf("training takes %v s a step, inference %v s", n.Train.With.Median, n.Infer.With.Median)
	}

	o := senet(append(args, "--chart", chart)...)
	o.want(t, 0)
	if o.err != "chart written to "+chart+"\n" {
		t.Errorf("stderr %q", o.err)
	}
	rows := strings.Split(o.out, "\n")
	if len(rows) != 13 || rows[0] != "seresnet20_cifar (SE in stages 2, 3), image (1, 28, 28)" || !strings.HasPrefix(rows[10], "Times are medians of 3 steps of 2 images") {
		t.Errorf("%d rows:\n%s", len(rows), o.out)
	}
	for _, row := range rows[1:9] {
		if len(row) != len(rows[1]) {
			t.Errorf("row %q is not as wide as %q", row, rows[1])
		}
	}
	svg := readFile(t, chart)
	for _, want := range []string{"<svg", "seresnet20_cifar (SE in stages 2, 3)", "parameters", "FLOPs", "inference time", "training time"} {
		if !strings.Contains(svg, want) {
			t.Errorf("the chart lacks %q", want)
		}
	}
}

func TestCostErrors(t *testing.T) {
	f := newFixture(t)
	for args, want := range map[string]string{
		"cost --set model.se.reduction=4": "usage: --set needs --config",
		"cost --steps 0":                  "--steps 0",
		"cost --batch 0":                  "--batch 0",
		"cost --size 4 --no-time":         "does not fit input",
		"cost --config CONFIG --size 32":  "usage: --config and --size do not go together",
		"cost --config CONFIG --set model.name=resnet20_cifar --no-time": "want a network with SE blocks, have resnet20_cifar",
	} {
		senet(strings.Fields(strings.ReplaceAll(args, "CONFIG", f.config))...).want(t, 2, want)
	}
	senet("cost", "--no-time", "--chart", filepath.Join(t.TempDir(), "none", "cost.svg")).want(t, 1, "--chart: open ")
}
