package cpu

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"gorgonia.org/tensor"

	"senet/internal/backend"
	"senet/internal/graph"
	"senet/internal/model"
)

// network builds the named model and its training or inference program.
func network(tb testing.TB, name string, batch, size, channels int, train bool) (*model.Network, *graph.Program) {
	tb.Helper()
	mean, std := make([]float32, channels), make([]float32, channels)
	for i := range mean {
		mean[i], std[i] = 0.45, 0.25
	}
	net, err := model.Build(name, model.Options{
		Batch: batch, Height: size, Width: size, Channels: channels, Mean: mean, Std: std, Classes: 10,
		SE: model.SE{Reduction: 16}, LabelSmoothing: 0.1,
	})
	if err != nil {
		tb.Fatal(err)
	}
	var p *graph.Program
	if train {
		p, err = graph.Training(net.Graph, net.Ends, graph.TrainingOptions{SGD: graph.SGDOptions{Momentum: 0.9, WeightDecay: 5e-4, Nesterov: true}})
	} else {
		p, err = graph.Inference(net.Graph, net.Ends, graph.InferenceOptions{})
	}
	if err != nil {
		tb.Fatal(err)
	}
	return net, p
}

// start compiles p and fills parameters and inputs from seed 1.
func start(tb testing.TB, b backend.Backend, p *graph.Program) backend.Executable {
	tb.Helper()
	exe, err := b.Compile(p)
	if err != nil {
		tb.Fatal(err)
	}
	write := func(v *graph.Value, backing any) {
		if err := exe.Write(v, tensor.New(tensor.WithShape(v.Shape...), tensor.WithBacking(backing))); err != nil {
			tb.Fatal(err)
		}
	}
	if err := backend.Initialize(exe, p, 1); err != nil {
		tb.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	pixels := make([]uint8, p.Image.Shape.Elems())
	for i := range pixels {
		pixels[i] = uint8(r.IntN(256))
	}
	write(p.Image, pixels)
	labels := make([]int32, p.Labels.Shape.Elems())
	for i := range labels {
		labels[i] = int32(r.IntN(10))
	}
	write(p.Labels, labels)
	if p.LearningRate != nil {
		write(p.LearningRate, []float32{0.01})
	}
	if err := exe.Run(graph.Prepare); err != nil {
		tb.Fatal(err)
	}
	return exe
}

// BenchmarkTrain measures whole training steps, BenchmarkInfer inference, in images a second.
func BenchmarkTrain(b *testing.B) { benchmark(b, true) }

// BenchmarkInfer: see BenchmarkTrain.
func BenchmarkInfer(b *testing.B) { benchmark(b, false) }

func benchmark(b *testing.B, train bool) {
	for _, c := range []struct {
		name                  string
		batch, size, channels int
	}{
		{"resnet20_cifar", 128, 28, 1},
		{"seresnet20_cifar", 128, 28, 1},
		{"resnet50", 16, 224, 3},
		{"seresnet50", 16, 224, 3},
	} {
		b.Run(fmt.Sprintf("%s/%d", c.name, c.batch), func(b *testing.B) {
			be, err := New(Options{})
			if err != nil {
				b.Fatal(err)
			}
			defer be.Close()
			_, p := network(b, c.name, c.batch, c.size, c.channels, train)
			exe := start(b, be, p)
			defer exe.Close()
			for b.Loop() {
				for _, ph := range []graph.Phase{graph.Step, graph.Update} {
					if err := exe.Run(ph); err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(float64(c.batch*b.N)/b.Elapsed().Seconds(), "img/s")
			b.ReportMetric(float64(exe.Memory().Peak())/(1<<20), "MiB")
		})
	}
}
