package train

import (
	"math"
	"path/filepath"
	"strings"
	"testing"

	"senet/internal/checkpoint"
	"senet/internal/config"
	"senet/internal/data"
	"senet/internal/graph"
	"senet/internal/model"
	"senet/internal/ref"
)

// TestPreciseStatsAreThoseOfPyTorch: mean and variance over 3 batches of all that each batch norm sees.
func TestPreciseStatsAreThoseOfPyTorch(t *testing.T) {
	fixture, _, err := checkpoint.LoadModel(filepath.Join("testdata", "recipes.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	f := &recipe{t: t, fixture: fixture, name: "precise"}
	g, ends := smoothNetwork(config.Train{Loss: "cross-entropy"}, false)
	p, err := graph.Training(g, ends, graph.TrainingOptions{})
	f.check(err)
	nodes := runningStats(p)
	for _, n := range nodes {
		p.Kept = append(p.Kept, n.In...)
	}
	net, err := Open(openCPU(t, 1), p)
	f.check(err)
	defer func() { f.check(net.Close()) }()
	for _, v := range net.ModelValues() {
		f.check(net.Write(v, fixture["start/"+v.Name]))
	}
	populations := make([]population, len(nodes))
	for batch := range 3 {
		f.feed(net, batch)
		f.check(net.Run(graph.Step))
		f.check(net.addStats(nodes, populations))
	}
	all := make([]stats, len(nodes))
	for i := range nodes {
		all[i] = populations[i].stats()
	}
	f.check(net.writeStats(nodes, all))
	for _, bn := range []string{"bn1", "bn2"} {
		for _, stat := range []string{".running_mean", ".running_var"} {
			x, err := net.Read(p.Find(bn + stat))
			f.check(err)
			f.tolerance = 1e-6
			f.compare(bn+stat, float64s(x), f.tolerance)
		}
	}
}

// TestSavedStatsAreThoseOfTheSavedWeights compares the running statistics that a run saves with the mean and the variance of all
// values that its batch norms see in float64, of the weights or of their averages. Without precise batch norm they are off by more than a tenth.
func TestSavedStatsAreThoseOfTheSavedWeights(t *testing.T) {
	for _, ema := range []string{"0", "0.75"} {
		t.Run("ema_decay "+ema, func(t *testing.T) {
			b := newSpy(t)
			sets := []string{"train.epochs=2", "train.ema_decay=" + ema}
			plain, _ := finished(t, b, sets...)
			dir, _ := finished(t, b, append(sets, "train.precise_bn=2")...)
			s, _ := smallRun(t, b, t.TempDir(), sets...)
			saved, without := loadCheckpoint(t, dir, "last"), loadCheckpoint(t, plain, "last")
			want := valuesSeen(t, s, saved.Model, 1, 2)
			worst, before := 0.0, 0.0
			for name, xs := range want {
				worst = max(worst, furthest(saved.Model[name].Float32s(), xs))
				before = max(before, furthest(without.Model[name].Float32s(), xs))
			}
			if len(want) < 20 || !(worst <= 1e-5) || !(before > 0.1) {
				t.Errorf("of %d statistics the worst is off by %.2g, and without precise batch norm by %.2g", len(want), worst, before)
			}
			for name := range want { // all else must be as without
				delete(saved.Model, name)
				delete(without.Model, name)
				delete(saved.Optimizer, name)
				delete(without.Optimizer, name)
			}
			diffTensors(t, "model", saved.Model, without.Model)
			diffTensors(t, "optimizer", saved.Optimizer, without.Optimizer)
		})
	}
}

// furthest is the greatest difference relative to the greatest of want.
func furthest(have []float32, want []float64) float64 {
	largest, worst := 0.0, 0.0
	for i, w := range want {
		largest = max(largest, math.Abs(w))
		if off := math.Abs(float64(have[i]) - w); !(off <= worst) {
			worst = off
		}
	}
	return worst / largest
}

// valuesSeen are mean and variance, under the names of the running statistics, of all that each batch norm of the network with the
// values of ts sees in the first batches of an epoch.
func valuesSeen(t *testing.T, s Setup, ts Tensors, epoch, batches int) map[string][]float64 {
	t.Helper()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	net, err := model.Build(s.Config.Model.Name, trainedOptions(s.Config))
	check(err)
	p, err := graph.Forward(net.Graph, net.Ends)
	check(err)
	c, err := Open(ref.New(), p)
	check(err)
	defer func() { check(c.Close()) }()
	for _, v := range p.Persistent() {
		check(c.Write(v, ts[v.Name]))
	}
	o, err := LoaderOptions(s.Config)
	check(err)
	loader, err := data.NewLoader(s.Train, o)
	check(err)
	it := loader.Epoch(t.Context(), epoch, 0)
	defer it.Close()
	values := map[*graph.Node][][]float64{} // by channel
	for range batches {
		b, err := it.Next()
		check(err)
		check(c.feed(b))
		check(c.Write(p.StepCount, scalar[int32]()))
		check(c.Run(graph.Step))
		it.Recycle(b)
		for _, n := range p.Phases[graph.Step] {
			if n.Op != graph.BatchNorm {
				continue
			}
			x, err := c.Read(n.In[0]) // (N, C, H, W)
			check(err)
			shape := n.In[0].Shape
			if values[n] == nil {
				values[n] = make([][]float64, shape[1])
			}
			for i, v := range float64s(x) {
				channel := i / (shape[2] * shape[3]) % shape[1]
				values[n][channel] = append(values[n][channel], v)
			}
		}
	}
	out := map[string][]float64{}
	for n, channels := range values {
		name := strings.TrimSuffix(n.In[3].Name, "running_mean")
		for _, xs := range channels {
			mean, variance := 0.0, 0.0
			for _, x := range xs {
				mean += x / float64(len(xs))
			}
			for _, x := range xs {
				variance += (x - mean) * (x - mean) / float64(len(xs))
			}
			out[name+"running_mean"] = append(out[name+"running_mean"], mean)
			out[name+"running_var"] = append(out[name+"running_var"], variance)
		}
	}
	return out
}
