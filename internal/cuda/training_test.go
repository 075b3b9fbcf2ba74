package cuda

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"gorgonia.org/tensor"

	"senet/internal/backend"
	"senet/internal/cuda/emu"
	"senet/internal/graph"
	"senet/internal/kernels"
	"senet/internal/model"
	"senet/internal/ref"
)

// TestTraining trains SE-ResNet-20 on tiny images for three steps, the third of them a captured graph, in each precision:
// close to the oracle, and bit by bit the same in every order of threads, blocks and streams that the emulator draws.
func TestTraining(t *testing.T) {
	want := trainTiny(t, ref.New())
	for _, p := range precisions {
		t.Run(p.of.String(), func(t *testing.T) {
			var first []float64
			for seed := uint64(1); seed <= 3; seed++ {
				emu.Seed(seed)
				have := trainTiny(t, open(t, p.of))
				if first == nil {
					first = have
				}
				if !slices.Equal(have, first) {
					t.Errorf("seed %d: %v, but with seed 1 %v", seed, have, first)
				}
			}
			limit := map[kernels.Precision]float64{kernels.Float32: 1e-5, kernels.TF32: 5e-3, kernels.BFloat16: 2e-2, kernels.Float16: 2e-2}[p.of]
			for i, w := range want {
				if !(math.Abs(first[i]-w) <= limit*max(1, math.Abs(w))) {
					t.Errorf("number %d of losses and gradient norms is %v, the oracle's %v", i, first[i], w)
				}
			}
		})
	}
}

// trainTiny returns the loss and the gradients' norm of each of three steps.
func trainTiny(t *testing.T, b backend.Backend) []float64 {
	t.Helper()
	const n, size = 4, 8
	net, err := model.Build("seresnet20_cifar", model.Options{
		Batch: n, Height: size, Width: size, Channels: 1, Mean: []float32{0.5}, Std: []float32{0.25}, Classes: 10, SE: model.SE{Reduction: 16},
	})
	if err != nil {
		t.Fatal(err)
	}
	p, err := graph.Training(net.Graph, net.Ends, graph.TrainingOptions{SGD: graph.SGDOptions{Momentum: 0.9, WeightDecay: 1e-4}})
	if err != nil {
		t.Fatal(err)
	}
	exe, err := b.Compile(p)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := exe.Close(); err != nil {
			t.Error(err)
		}
	}()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	write := func(v *graph.Value, data any) {
		t.Helper()
		must(exe.Write(v, tensor.New(tensor.WithShape(v.Shape...), tensor.WithBacking(data))))
	}
	must(backend.Initialize(exe, p, 1))
	random := rand.New(rand.NewPCG(1, 2))
	batch := func() {
		pixels, labels := make([]uint8, n*size*size), make([]int32, n)
		for i := range pixels {
			pixels[i] = uint8(random.IntN(256))
		}
		for i := range labels {
			labels[i] = int32(random.IntN(10))
		}
		write(p.Image, pixels)
		write(p.Labels, labels)
	}
	read := func(v *graph.Value) float64 {
		t.Helper()
		x, err := exe.Read(v)
		must(err)
		return float64(x.Data().([]float32)[0])
	}
	var numbers []float64
	batch()
	for range 3 {
		write(p.LearningRate, []float32{0.005})
		must(exe.Run(graph.Step))
		if b.Name() != "ref" {
			batch() // the next step's, while this one runs
		}
		numbers = append(numbers, read(p.Loss), read(p.GradNorm))
		if b.Name() == "ref" {
			batch()
		}
		must(exe.Run(graph.Update))
	}
	return numbers
}
