package cuda

import (
	"flag"
	"math"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"gorgonia.org/tensor"

	"senet/internal/backend"
	"senet/internal/cuda/emu"
	"senet/internal/graph"
	"senet/internal/kernels"
	"senet/internal/model"
	"senet/internal/ref"
)

var zoo = flag.Bool("zoo", false, "run TestZoo on the emulator too")

// TestZooIsPlanned: every network trains and infers in every precision, at full size, with kernels that there are and with no more
// shared memory than each device has.
func TestZooIsPlanned(t *testing.T) {
	if testing.Short() {
		t.Skip("short")
	}
	const shared = 99 << 10 // bytes of a block, compute capability 8.6 and 12.0
	b := open(t, kernels.Float32)
	for _, name := range model.Names() {
		for _, batch := range []int{1, 256} {
			training, inference := zooPrograms(t, name, batch, 224)
			for _, p := range []*graph.Program{training, inference} {
				for _, precision := range precisions {
					planner := kernels.NewPlanner(p, precision.of, kernels.Device{Compute: 90, SMs: 132})
					for _, l := range launches(t, planner, p) {
						if l.Shared > shared {
							t.Errorf("%s, %s: %s takes %d bytes of shared memory", name, precision.of, l.Kernel, l.Shared)
						}
						if err := b.device.do(func() error { _, err := b.kernel(l); return err }); err != nil {
							t.Fatalf("%s, %s: %v", name, precision.of, err)
						}
					}
				}
			}
		}
	}
}

// TestZoo: the shallowest network of each kind infers and trains on small images as the oracle does. On the emulator, which takes
// minutes for it, only where -zoo asks, with convolutions by the stand-in for cuDNN.
func TestZoo(t *testing.T) {
	if emu.Running() && !*zoo {
		t.Skip("the flag -zoo runs it on the emulator")
	}
	openAny := open
	if emu.Running() {
		library := buildCuDNN(t)
		openAny = func(t testing.TB, p kernels.Precision) *Backend { return openOnCuDNN(t, p, library) }
	}
	deep := regexp.MustCompile("34|101|152|32_|44|56|110")
	for _, name := range model.Names() {
		if deep.MatchString(strings.TrimSuffix(name, "_32x4d")) {
			continue
		}
		t.Run(name, func(t *testing.T) {
			training, inference := zooPrograms(t, name, 4, 64)
			wantLoss, wantLogits := zooRun(t, ref.New(), training, 1), zooRun(t, ref.New(), inference, 1)
			for _, p := range precisions {
				t.Run(p.of.String(), func(t *testing.T) {
					b := openAny(t, p.of)
					// A step goes wherever rounding leads it on so few images: the losses behind it only must be numbers.
					losses, logits := zooRun(t, b, training, 3), zooRun(t, b, inference, 3)
					limit := map[kernels.Precision]float64{kernels.Float32: 1e-4, kernels.TF32: 1e-2, kernels.BFloat16: 5e-2, kernels.Float16: 1e-2}[p.of]
					t.Logf("loss %.4f, want %.4f; logits %.4g, want %.4g", losses, wantLoss, logits[:3], wantLogits[:3])
					if !(math.Abs(losses[0]-wantLoss[0]) <= limit*wantLoss[0]) || math.IsInf(losses[1]+losses[2], 0) || math.IsNaN(losses[1]+losses[2]) {
						t.Errorf("losses %v, the oracle's first %v", losses, wantLoss)
					}
					greatest := 0.0
					for _, w := range wantLogits {
						greatest = max(greatest, math.Abs(w))
					}
					for i, w := range wantLogits {
						if at := len(logits) - len(wantLogits) + i; !(math.Abs(logits[at]-w) <= limit*greatest) {
							t.Fatalf("logit %d is %v, the oracle's %v", i, logits[at], w)
						}
					}
				})
			}
		})
	}
}

// zooPrograms are a network's training and inference on n gray images of so many pixels a side.
func zooPrograms(t *testing.T, name string, n, size int) (training, inference *graph.Program) {
	t.Helper()
	net, err := model.Build(name, model.Options{
		Batch: n, Height: size, Width: size, Channels: 1, Classes: 1000, SE: model.SE{Reduction: 16}, Mean: []float32{0.5}, Std: []float32{0.25},
	})
	if err != nil {
		t.Fatal(err)
	}
	if training, err = graph.Training(net.Graph, net.Ends, graph.TrainingOptions{SGD: graph.SGDOptions{Momentum: 0.9}}); err != nil {
		t.Fatal(err)
	}
	if inference, err = graph.Inference(net.Graph, net.Ends, graph.InferenceOptions{}); err != nil {
		t.Fatal(err)
	}
	return training, inference
}

// launches are those of all kernels of p.
func launches(t *testing.T, planner *kernels.Planner, p *graph.Program) (all []kernels.Launch) {
	t.Helper()
	for _, nodes := range p.Phases {
		for _, n := range kernels.Grouped(nodes) {
			plan, err := planner.Plan(n)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, plan.Launches...)
		}
	}
	return all
}

// zooRun runs so many steps, the last of them a captured graph where there are three, and returns the losses of a training
// program or the logits of each step of another.
func zooRun(t *testing.T, b backend.Backend, p *graph.Program, steps int) (numbers []float64) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	exe, err := b.Compile(p)
	must(err)
	defer func() { must(exe.Close()) }()
	must(backend.Initialize(exe, p, 1))
	random := rand.New(rand.NewPCG(1, 2))
	pixels, labels := make([]uint8, p.Image.Shape.Elems()), make([]int32, p.Image.Shape[0])
	for i := range pixels {
		pixels[i] = uint8(random.IntN(256))
	}
	for i := range labels {
		labels[i] = int32(random.IntN(1000))
	}
	must(exe.Write(p.Image, tensor.New(tensor.WithShape(p.Image.Shape...), tensor.WithBacking(pixels))))
	result := p.Logits
	if p.LearningRate != nil {
		result = p.Loss
		must(exe.Write(p.LearningRate, tensor.New(tensor.WithShape(1), tensor.WithBacking([]float32{1e-4}))))
	}
	if p.Labels != nil {
		must(exe.Write(p.Labels, tensor.New(tensor.WithShape(p.Labels.Shape...), tensor.WithBacking(labels))))
	}
	must(exe.Run(graph.Prepare))
	for range steps {
		must(exe.Run(graph.Step))
		x, err := exe.Read(result)
		must(err)
		for _, v := range x.Data().([]float32) {
			numbers = append(numbers, float64(v))
		}
		must(exe.Run(graph.Update))
	}
	return numbers
}
