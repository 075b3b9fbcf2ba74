package train

import (
	"math"
	"path/filepath"
	"strings"
	"testing"

	"gorgonia.org/tensor"

	"senet/internal/backend"
	"senet/internal/checkpoint"
	"senet/internal/config"
	"senet/internal/cpu"
	"senet/internal/graph"
	"senet/internal/ref"
)

// What scripts/fixtures/recipes.py trained: batches of 6 images, of which it has 20, for 20 updates.
const recipeImages, recipeBatches, recipeUpdates, recipeClasses = 6, 20, 20, 10

// recipes are its runs as configs; an epoch is one update.
var recipes = []struct {
	name, text string
	mixed      bool
}{
	{"sgd", "{lr: 0.2, min_lr: 0.002, warmup_epochs: 5, momentum: 0.875, weight_decay: 0.01, label_smoothing: 0.1, clip_norm: 0.8, ema_decay: 0.9}", true},
	{"sgd-step", "{lr: 0.2, schedule: step, step_epochs: 6, momentum: 0.875, weight_decay: 0.01}", false},
	{"sgd-accumulate", "{lr: 0.2, schedule: step, step_epochs: 6, momentum: 0.875, weight_decay: 0.01, label_smoothing: 0.1, clip_norm: 0.5, accumulate: 3, ema_decay: 0.9}", false},
	{"adamw", "{optimizer: adamw, lr: 0.01, schedule: one-cycle, min_lr: 1.0e-5, warmup_epochs: 6, weight_decay: 0.05, label_smoothing: 0.1, clip_norm: 0.5}", true},
	{"lamb", "{optimizer: lamb, lr: 0.02, schedule: polynomial, power: 2, weight_decay: 0.02, loss: binary, binary_threshold: 0.2}", true},
	{"lamb-clipped", "{optimizer: lamb, lr: 0.02, schedule: polynomial, power: 2, weight_decay: 0.02, loss: binary, binary_sum: true, label_smoothing: 0.1, clip_norm: 0.1, ema_decay: 0.9}", true},
}

// TestRecipesAreAsInPyTorch compares losses of every step, rates, and all values and averages after 20 updates with those of
// PyTorch and timm on the same numbers, relative to each tensor's greatest. The worst found are 1.6e-7 on the oracle, of which
// 6e-8 is the fixture's rounding, and 3.4e-6 on the CPU.
func TestRecipesAreAsInPyTorch(t *testing.T) {
	fixture, _, err := checkpoint.LoadModel(filepath.Join("testdata", "recipes.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range []struct {
		name      string
		open      func() (backend.Backend, error)
		tolerance float64
	}{
		{"ref", func() (backend.Backend, error) { return ref.New(), nil }, 1e-6},
		{"cpu", func() (backend.Backend, error) { return cpu.New(cpu.Options{Threads: 1}) }, 1e-5},
	} {
		opened, err := b.open()
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := opened.Close(); err != nil {
				t.Error(err)
			}
		}()
		for _, r := range recipes {
			t.Run(b.name+"/"+r.name, func(t *testing.T) {
				cfg, err := config.Parse("test", []byte("model: {name: seresnet50}\ntrain: "+r.text), []string{"train.epochs=20"})
				if err != nil {
					t.Fatal(err)
				}
				f := &recipe{t: t, fixture: fixture, name: r.name, tolerance: b.tolerance}
				f.run(opened, cfg.Train, r.mixed)
			})
		}
	}
}

// recipe is one run beside the fixture's.
type recipe struct {
	t         *testing.T
	fixture   map[string]*tensor.Dense
	name      string
	tolerance float64
}

func (f *recipe) run(b backend.Backend, c config.Train, mixed bool) {
	g, ends := smoothNetwork(c, mixed)
	p, err := graph.Training(g, ends, programOptions(c, share{ranks: 1, accumulate: c.Accumulate}))
	if err != nil {
		f.t.Fatal(err)
	}
	net, err := Open(b, p)
	if err != nil {
		f.t.Fatal(err)
	}
	defer func() {
		if err := net.Close(); err != nil {
			f.t.Error(err)
		}
	}()
	f.check(net.Initialize(0))
	for _, v := range net.ModelValues() {
		f.check(net.Write(v, f.fixture["start/"+v.Name]))
		if average := p.EMA[v]; average != nil {
			f.check(net.Write(average, f.fixture["start/"+v.Name]))
		}
	}
	schedule := newSchedule(c, 1)
	var losses, rates []float64
	for step := range recipeUpdates * c.Accumulate {
		f.feed(net, step%recipeBatches)
		f.check(net.Run(graph.Step))
		loss, err := net.scalar(p.Loss)
		f.check(err)
		losses = append(losses, loss)
		if p.Accumulated != nil {
			f.check(net.Run(graph.Accumulate))
		}
		if (step+1)%c.Accumulate == 0 {
			rates = append(rates, schedule.At(step/c.Accumulate))
			f.check(net.Write(p.LearningRate, tensor.New(tensor.WithShape(1), tensor.WithBacking([]float32{float32(rates[len(rates)-1])}))))
			f.check(net.Run(graph.Update))
		}
	}
	f.compare("losses", losses, f.tolerance)
	f.compare("rates", rates, 1e-7)
	model, err := net.Model()
	f.check(err)
	trained, err := net.Get(net.ModelValues())
	f.check(err)
	for name, x := range trained {
		f.compare("trained/"+name, float64s(x), f.tolerance)
		if p.EMA != nil {
			f.compare("average/"+name, float64s(model[name]), f.tolerance)
		}
	}
}

func (f *recipe) check(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

// feed writes a batch. Each label is mixed with that in the batch's mirrored place.
func (f *recipe) feed(net *Compiled, batch int) {
	p, labels, mixed, shares := net.Program, make([]int32, recipeImages), make([]int32, recipeImages), make([]float32, recipeImages)
	pixels := make([]uint8, p.Image.Shape.Elems())
	for i := range pixels {
		pixels[i] = uint8(f.fixture["pixels"].Float32s()[batch*len(pixels)+i])
	}
	for i := range labels {
		row := f.fixture["labels"].Float32s()[batch*recipeImages:][:recipeImages]
		labels[i], mixed[i] = int32(row[i]), int32(row[recipeImages-1-i])
		shares[i] = f.fixture["shares"].Float32s()[batch]
	}
	for v, data := range map[*graph.Value]any{p.Image: pixels, p.Labels: labels, p.MixedLabels: mixed, p.Share: shares} {
		if v != nil {
			f.check(net.Write(v, tensor.New(tensor.WithShape(v.Shape...), tensor.WithBacking(data))))
		}
	}
}

func (f *recipe) compare(name string, have []float64, tolerance float64) {
	f.t.Helper()
	want := float64s(f.fixture[f.name+"/"+name])
	if len(have) != len(want) {
		f.t.Fatalf("%s: %d elements, want %d", name, len(have), len(want))
	}
	largest, worst := 0.0, 0.0
	for i, w := range want {
		largest = max(largest, math.Abs(w))
		if off := math.Abs(have[i] - w); !(off <= worst) {
			worst = off
		}
	}
	if !(worst <= tolerance*largest) {
		f.t.Errorf("%s: relative error %.2g, tolerance %g", name, worst/largest, tolerance)
	}
}

func float64s(t *tensor.Dense) []float64 {
	var xs []float64
	for _, x := range t.Float32s() {
		xs = append(xs, float64(x))
	}
	return xs
}

// smoothNetwork is class Smooth of recipes.py with the config's loss.
func smoothNetwork(c config.Train, mixed bool) (*graph.Graph, graph.Ends) {
	g := graph.New()
	image := g.Input("image", graph.Shape{recipeImages, 6, 6, 3}, graph.Uint8)
	t := graph.Targets{Labels: g.Input("labels", graph.Shape{recipeImages}, graph.Int32)}
	if mixed {
		t.MixedLabels = g.Input("mixed_labels", t.Labels.Shape, graph.Int32)
		t.Share = g.Input("label_share", t.Labels.Shape, graph.Float32)
	}
	layer := func(x *graph.Value, number string, out, stride int) *graph.Value {
		w := g.Param("conv"+number+".weight", graph.Shape{out, x.Shape[1], 3, 3}, graph.Zeros())
		y := g.Conv("conv"+number, x, w, nil, graph.ConvAttr{Stride: stride, Pad: 1, Groups: 1})
		v := func(declare func(string, graph.Shape, graph.Init) *graph.Value, name string) *graph.Value {
			return declare("bn"+number+"."+name, graph.Shape{out}, graph.Zeros())
		}
		bn := g.BatchNorm("bn"+number, y, v(g.Param, "weight"), v(g.Param, "bias"), v(g.State, "running_mean"), v(g.State, "running_var"),
			graph.BatchNormAttr{Eps: 1e-5, Momentum: 0.1})
		return g.Tanh("act"+number, bn)
	}
	mean, std := []float32{0.5, 0.5, 0.5}, []float32{0.25, 0.25, 0.25}
	x := layer(layer(g.Normalize("normalize", image, mean, std), "1", 8, 1), "2", 12, 2)
	w, bias := g.Param("fc.weight", graph.Shape{recipeClasses, 12}, graph.Zeros()), g.Param("fc.bias", graph.Shape{recipeClasses}, graph.Zeros())
	logits := g.Linear("fc", g.GlobalAvgPool("pool", x), w, bias)
	ends := graph.Ends{
		Image: image, Labels: t.Labels, MixedLabels: t.MixedLabels, Share: t.Share, Logits: logits,
		Correct: g.Accuracy("accuracy", logits, t.Labels),
	}
	if strings.HasPrefix(c.Loss, "binary") {
		ends.Loss = g.BinaryCrossEntropy("loss", logits, t, graph.BinaryLossAttr{
			Smoothing: float32(c.LabelSmoothing), Threshold: float32(c.BinaryThreshold), SumClasses: c.BinarySum,
		})
	} else {
		ends.Loss = g.SoftmaxCrossEntropy("loss", logits, t, graph.LossAttr{Smoothing: float32(c.LabelSmoothing)})
	}
	return g, ends
}
