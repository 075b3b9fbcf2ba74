package model_test

import (
	"errors"
	"iter"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gorgonia.org/tensor"

	"senet/internal/backend"
	"senet/internal/checkpoint"
	"senet/internal/cpu"
	"senet/internal/graph"
	"senet/internal/model"
	"senet/internal/ref"
)

// Settings of scripts/fixtures/make_fixtures.py.
const (
	steps                  = 3
	learningRate           = 0.05
	momentum, weightDecay  = 0.9, 5e-4
	smoothing, classes     = 0.1, 10
	pixelMean, pixelStdDev = 0.5, 0.25
)

// TestPyTorch compares whole networks with PyTorch and timm: logits, loss, every gradient, and the
// parameters and running statistics after three steps. The fixtures are exact to 6e-8; the worst
// errors measured are 1e-7 on the oracle and 2.2e-6 on the CPU, both of gradients.
func TestPyTorch(t *testing.T) {
	for _, n := range []struct {
		name  string
		build func() (*model.Network, error)
	}{
		{"seresnet20_cifar", seResNet20},
		{"sebottleneck", seBottleneck},
	} {
		for _, b := range []struct {
			name      string
			open      func() (backend.Backend, error)
			tolerance float64
		}{
			{"ref", func() (backend.Backend, error) { return ref.New(), nil }, 1e-6},
			{"cpu", func() (backend.Backend, error) { return cpu.New(cpu.Options{}) }, 1e-4},
			{"cpu AVX2", func() (backend.Backend, error) { return cpu.New(cpu.Options{AVX2: true}) }, 1e-4},
		} {
			t.Run(n.name+"/"+b.name, func(t *testing.T) {
				c := &comparison{backend: open(t, b.open), tolerance: b.tolerance}
				c.load(t, n.name, n.build)
				for form, unfused := range map[string]bool{"fused": false, "unfused": true} {
					t.Run("inference "+form, func(t *testing.T) { t.Parallel(); c.inference(t, unfused) })
					t.Run("training "+form, func(t *testing.T) { t.Parallel(); c.training(t, unfused) })
				}
			})
		}
	}
}

// TestLogits compares the logits of whole networks with those of timm's, and of BN-Inception in PyTorch.
func TestLogits(t *testing.T) {
	path := filepath.Join("testdata", "pytorch", "zoo.safetensors")
	logits, _, err := checkpoint.LoadModel(path)
	if err != nil {
		t.Fatal(err)
	}
	b := open(t, func() (backend.Backend, error) { return cpu.New(cpu.Options{}) })
	for _, name := range []string{
		"resnet18", "seresnet34", "resnet50", "seresnet50", "seresnext50_32x4d",
		"legacy_seresnet18", "legacy_seresnet50", "legacy_seresnext50_32x4d", "legacy_senet154",
		"bninception", "se_bninception",
	} {
		t.Run(name, func(t *testing.T) {
			pixels := logits["pixels"]
			if strings.HasSuffix(name, "bninception") {
				pixels = logits["bninception pixels"]
			}
			if pixels == nil || logits[name] == nil {
				t.Fatalf("%s has no pixels, or no %q", path, name)
			}
			net, err := model.Build(name, options(2, pixels.Shape()[1], pixels.Shape()[2], 3))
			if err != nil {
				t.Fatal(err)
			}
			c := &comparison{backend: b, net: net, tolerance: 1e-4, want: map[string]*tensor.Dense{
				"pixels": pixels, "eval/logits": logits[name],
				"labels": tensor.New(tensor.WithShape(2), tensor.Of(tensor.Float32)), // of no effect on logits
			}}
			c.inference(t, false)
		})
	}
}

// open opens a backend until the test and its subtests end, and skips the test where there is no such device.
func open(t *testing.T, f func() (backend.Backend, error)) backend.Backend {
	t.Helper()
	b, err := f()
	if errors.Is(err, backend.ErrNoDevice) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func seResNet20() (*model.Network, error) {
	return model.Build("seresnet20_cifar", options(8, 28, 28, 1))
}

func options(batch, height, width, channels int) model.Options {
	return model.Options{
		Batch: batch, Height: height, Width: width, Channels: channels,
		Mean: slices.Repeat([]float32{pixelMean}, channels), Std: slices.Repeat([]float32{pixelStdDev}, channels),
		Classes: classes, LabelSmoothing: smoothing, SE: model.SE{Reduction: 16},
	}
}

// seBottleneck is the first block of SE-ResNet-50 between a 3x3 convolution of RGB images and a classifier.
func seBottleneck() (*model.Network, error) {
	const images, width, wide, hidden = 4, 64, 256, 16
	g := graph.New()
	image := g.Input("image", graph.Shape{images, 12, 10, 3}, graph.Uint8)
	labels := g.Input("labels", graph.Shape{images}, graph.Int32)
	conv := func(name string, x *graph.Value, out, kernel int) *graph.Value {
		w := g.Param(name+".weight", graph.Shape{out, x.Shape[1], kernel, kernel}, graph.Zeros())
		return g.Conv(name, x, w, nil, graph.ConvAttr{Stride: 1, Pad: kernel / 2, Groups: 1})
	}
	bn := func(name string, x *graph.Value) *graph.Value {
		c := graph.Shape{x.Shape[1]}
		gamma, beta := g.Param(name+".weight", c, graph.Zeros()), g.Param(name+".bias", c, graph.Zeros())
		mean, variance := g.State(name+".running_mean", c, graph.Zeros()), g.State(name+".running_var", c, graph.Zeros())
		return g.BatchNorm(name, x, gamma, beta, mean, variance, graph.BatchNormAttr{Eps: 1e-5, Momentum: 0.1})
	}
	linear := func(name string, x *graph.Value, shape ...int) *graph.Value {
		w := g.Param(name+".weight", shape, graph.Zeros())
		return g.Linear(name, x, w, g.Param(name+".bias", shape[:1], graph.Zeros()))
	}

	o := options(images, 12, 10, 3)
	x := conv("conv1", g.Normalize("normalize", image, o.Mean, o.Std), width, 3)
	y := g.ReLU("block.act1", bn("block.bn1", conv("block.conv1", x, width, 1)))
	y = g.ReLU("block.act2", bn("block.bn2", conv("block.conv2", y, width, 3)))
	y = bn("block.bn3", conv("block.conv3", y, wide, 1))
	gate := g.ReLU("block.se.act", linear("block.se.fc1", g.GlobalAvgPool("block.se.squeeze", y), hidden, wide, 1, 1))
	gate = g.Sigmoid("block.se.gate", linear("block.se.fc2", gate, wide, hidden, 1, 1))
	shortcut := bn("block.downsample.1", conv("block.downsample.0", x, wide, 1))
	y = g.ReLU("block.act3", g.Add("block.add", g.Scale("block.se.scale", y, gate), shortcut))
	logits := linear("fc", g.GlobalAvgPool("global_pool", y), classes, wide)
	return &model.Network{Name: "sebottleneck", Graph: g, Ends: graph.Ends{
		Image: image, Labels: labels, Logits: logits,
		Loss:    g.SoftmaxCrossEntropy("loss", logits, graph.Targets{Labels: labels}, graph.LossAttr{Smoothing: smoothing}),
		Correct: g.Accuracy("accuracy", logits, labels),
	}}, g.Err()
}

// comparison is one network on one backend beside PyTorch's values by name.
type comparison struct {
	backend   backend.Backend
	net       *model.Network
	want      map[string]*tensor.Dense
	tolerance float64 // of the greatest error in a tensor, relative to the greatest magnitude
}

// load builds the network and reads its fixture, which must hold each value in its shape and nothing else.
func (c *comparison) load(t *testing.T, name string, build func() (*model.Network, error)) {
	t.Helper()
	var err error
	if c.net, err = build(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("testdata", "pytorch", name+".safetensors")
	if c.want, _, err = checkpoint.LoadModel(path); err != nil {
		t.Fatal(err)
	}
	g, e := c.net.Graph, c.net.Ends
	shapes := map[string]graph.Shape{
		"pixels": e.Image.Shape, "labels": e.Labels.Shape,
		"eval/logits": e.Logits.Shape, "train/logits": e.Logits.Shape, "train/losses": {steps},
	}
	for _, v := range g.Params() {
		shapes["gradient/"+v.Name], shapes["trained/"+v.Name] = v.Shape, v.Shape
	}
	for _, v := range g.States() {
		shapes["trained/"+v.Name] = v.Shape
	}
	for name, shape := range shapes {
		if want, ok := c.want[name]; !ok || !shape.Equal(graph.Shape(want.Shape())) {
			t.Fatalf("%s has no %q of %s", path, name, shape)
		}
	}
	if len(c.want) != len(shapes) {
		t.Fatalf("%s has %d tensors, want %d", path, len(c.want), len(shapes))
	}
}

func (c *comparison) inference(t *testing.T, unfused bool) {
	p, err := graph.Inference(c.net.Graph, c.net.Ends, graph.InferenceOptions{Unfused: unfused})
	if err != nil {
		t.Fatal(err)
	}
	exe := c.start(t, p)
	run(t, exe, graph.Prepare, graph.Step)
	c.compare(t, "eval/logits", read(t, exe, p.Logits))
}

func (c *comparison) training(t *testing.T, unfused bool) {
	p, err := graph.Training(c.net.Graph, c.net.Ends, graph.TrainingOptions{
		Unfused: unfused,
		SGD:     graph.SGDOptions{Momentum: momentum, WeightDecay: weightDecay, Nesterov: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	exe := c.start(t, p)
	write(t, exe, p.LearningRate, []float32{learningRate})
	var losses []float64
	for step := range steps {
		run(t, exe, graph.Step)
		losses = append(losses, read(t, exe, p.Loss)...)
		if step == 0 {
			c.compare(t, "train/logits", read(t, exe, p.Logits))
		}
		run(t, exe, graph.Update)
		if step == 0 {
			c.gradients(t, exe, p)
		}
	}
	c.compare(t, "train/losses", losses)
	for _, v := range append(c.net.Graph.Params(), c.net.Graph.States()...) {
		c.compare(t, "trained/"+v.Name, read(t, exe, v))
	}
}

// gradients compares the momenta after the first update, less the weight decay in them:
// backends let the host read no gradient itself.
func (c *comparison) gradients(t *testing.T, exe backend.Executable, p *graph.Program) {
	for i, v := range c.net.Graph.Params() {
		gradient := read(t, exe, p.OptimizerStates[i])
		if len(v.Shape) > 1 {
			for j, w := range draw(v) {
				gradient[j] -= weightDecay * float64(w)
			}
		}
		c.compare(t, "gradient/"+v.Name, gradient)
	}
}

// start compiles p with the drawn parameters and statistics and the fixture's images.
func (c *comparison) start(t *testing.T, p *graph.Program) backend.Executable {
	t.Helper()
	exe, err := c.backend.Compile(p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := exe.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, v := range append(c.net.Graph.Params(), c.net.Graph.States()...) {
		write(t, exe, v, draw(v))
	}
	write(t, exe, p.Image, converted[uint8](c.want["pixels"]))
	write(t, exe, p.Labels, converted[int32](c.want["labels"]))
	return exe
}

// compare fails for the worst element of a tensor beyond the tolerance, and for any NaN.
func (c *comparison) compare(t *testing.T, name string, got []float64) {
	t.Helper()
	want := converted[float64](c.want[name])
	if len(got) != len(want) {
		t.Fatalf("%s: %d elements, want %d", name, len(got), len(want))
	}
	largest, worst, at := 0.0, 0.0, 0
	for i, w := range want {
		largest = max(largest, math.Abs(w))
		if off := math.Abs(got[i] - w); !(off <= worst) {
			worst, at = off, i
			if math.IsNaN(off) {
				break
			}
		}
	}
	if !(worst <= c.tolerance*largest) {
		t.Errorf("%s: element %d of %v is %g, want %g: relative error %.2g, tolerance %g",
			name, at, c.want[name].Shape(), got[at], want[at], worst/largest, c.tolerance)
	}
}

// draw gives the start of a parameter or running statistic, as draw in make_fixtures.py.
func draw(v *graph.Value) []float32 {
	low, high := -0.5, 0.5
	if len(v.Shape) > 1 {
		high = math.Sqrt(3 / float64(v.Shape[1:].Elems()))
		low = -high
	} else if strings.HasSuffix(v.Name, "weight") || strings.HasSuffix(v.Name, "running_var") {
		low, high = 0.5, 1.5
	}
	xs := make([]float32, v.Shape.Elems())
	for i, u := range uniform(v.Name) {
		if i == len(xs) {
			break
		}
		scaled := (high - low) * u
		xs[i] = float32(low + scaled)
	}
	return xs
}

// uniform yields the numbers of uniform in make_fixtures.py, without end.
func uniform(name string) iter.Seq2[int, float64] {
	seed := uint64(14695981039346656037) // FNV-1a of the name
	for _, b := range []byte(name) {
		seed = (seed ^ uint64(b)) * 1099511628211
	}
	return func(yield func(int, float64) bool) {
		for i := 0; ; i++ { // splitmix64
			seed += 0x9E3779B97F4A7C15
			z := (seed ^ seed>>30) * 0xBF58476D1CE4E5B9
			z = (z ^ z>>27) * 0x94D049BB133111EB
			z ^= z >> 31
			if !yield(i, float64(z>>40)/(1<<24)) {
				return
			}
		}
	}
}

func run(t *testing.T, exe backend.Executable, phases ...graph.Phase) {
	t.Helper()
	for _, ph := range phases {
		if err := exe.Run(ph); err != nil {
			t.Fatal(err)
		}
	}
}

func write(t *testing.T, exe backend.Executable, v *graph.Value, data any) {
	t.Helper()
	if err := exe.Write(v, tensor.New(tensor.WithShape(v.Shape...), tensor.WithBacking(data))); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, exe backend.Executable, v *graph.Value) []float64 {
	t.Helper()
	data, err := exe.Read(v)
	if err != nil {
		t.Fatal(err)
	}
	return converted[float64](data)
}

// converted is the data of a float32 tensor in another type.
func converted[T uint8 | int32 | float64](from *tensor.Dense) []T {
	to := make([]T, from.Size())
	for i, x := range from.Data().([]float32) {
		to[i] = T(x)
	}
	return to
}
