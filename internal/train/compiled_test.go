package train

import (
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"gorgonia.org/tensor"

	"senet/internal/config"
	"senet/internal/graph"
	"senet/internal/model"
)

// openSmall compiles the small network for training.
func openSmall(t *testing.T, b *spy) *Compiled {
	t.Helper()
	s, _ := smallRun(t, b, t.TempDir())
	net, err := model.Build(s.Config.Model.Name, ModelOptions(s.Config, 2))
	if err != nil {
		t.Fatal(err)
	}
	p, err := graph.Training(net.Graph, net.Ends, graph.TrainingOptions{})
	if err != nil {
		t.Fatal(err)
	}
	c, err := Open(b, p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// all reads parameters, running statistics and momenta.
func all(t *testing.T, c *Compiled) Tensors {
	t.Helper()
	ts, err := c.Get(c.Program.Persistent())
	if err != nil {
		t.Fatal(err)
	}
	return ts
}

func TestInitializeDrawsFromTheSeed(t *testing.T) {
	c := openSmall(t, newSpy(t))
	draw := func(seed uint64) Tensors {
		t.Helper()
		if err := c.Initialize(seed); err != nil {
			t.Fatal(err)
		}
		return all(t, c)
	}
	first, second, again := draw(1), draw(2), draw(1)
	diffTensors(t, "seed 1 again", again, first)
	for _, v := range c.Program.Persistent() {
		x, y := first[v.Name].Float32s(), second[v.Name].Float32s()
		if random := v.Init.Kind != graph.Constant; slices.Equal(x, y) == random {
			t.Errorf("%q: seeds 1 and 2 agree: %v, want the opposite", v.Name, random)
		}
	}
	for name, want := range map[string]float32{"bn1.weight": 1, "bn1.running_var": 1, "bn1.running_mean": 0, "layer1.0.bn2.weight": 0, "conv1.weight.momentum": 0} {
		if x := first[name].Float32s(); slices.ContainsFunc(x, func(x float32) bool { return x != want }) {
			t.Errorf("%q starts as %v, want %v", name, x, want)
		}
	}
}

func TestModelValuesAreThoseOfTheGraph(t *testing.T) {
	b := newSpy(t)
	c := openSmall(t, b)
	s, _ := smallRun(t, b, t.TempDir())
	net, err := model.Build(s.Config.Model.Name, ModelOptions(s.Config, 4))
	if err != nil {
		t.Fatal(err)
	}
	e, err := NewEvaluator(b, net)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}()
	var want []string
	for _, v := range net.Graph.Values {
		if v.Role == graph.Param || v.Role == graph.State {
			want = append(want, v.Name)
		}
	}
	for _, vs := range [][]*graph.Value{c.ModelValues(), e.net.ModelValues()} {
		var have []string
		for _, v := range vs {
			have = append(have, v.Name)
		}
		if !slices.Equal(have, want) {
			t.Errorf("values %v, want %v", have, want)
		}
	}
}

func TestSetWritesWhatGetReads(t *testing.T) {
	c := openSmall(t, newSpy(t))
	if err := c.Initialize(3); err != nil {
		t.Fatal(err)
	}
	want := all(t, c)
	if err := c.Initialize(4); err != nil {
		t.Fatal(err)
	}
	if err := c.Set(c.Program.Persistent(), maps.Clone(want)); err != nil {
		t.Fatal(err)
	}
	diffTensors(t, "after Set", all(t, c), want)
}

func TestSetWritesNothingWhereOneTensorDoesNotFit(t *testing.T) {
	b := newSpy(t)
	c := openSmall(t, b)
	if err := c.Initialize(3); err != nil {
		t.Fatal(err)
	}
	want := all(t, c)
	fitting, err := c.Get(c.ModelValues())
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range fitting {
		for i := range x.Float32s() {
			x.Float32s()[i] += 1
		}
	}
	b.fault = func(x call) error {
		if x.name == "write" {
			return errors.New("written")
		}
		return nil
	}
	last := c.ModelValues()[len(c.ModelValues())-1].Name
	for _, x := range []struct {
		name  string
		spoil func(Tensors)
		want  []string
	}{
		{"missing", func(ts Tensors) { delete(ts, last) }, []string{last}},
		{"extra", func(ts Tensors) { ts["zz"] = ts[last] }, []string{`"zz"`}},
		{"shape", func(ts Tensors) { ts[last] = tensor.New(tensor.WithShape(4), tensor.Of(tensor.Float32)) }, []string{last, "(4)"}},
		{"rank", func(ts Tensors) { ts["bn1.bias"] = tensor.New(tensor.WithShape(16, 1), tensor.Of(tensor.Float32)) }, []string{"bn1.bias", "(16, 1)"}},
		{"type", func(ts Tensors) { ts[last] = tensor.New(tensor.WithShape(3), tensor.Of(tensor.Float64)) }, []string{last, "float64"}},
		{"all at once", func(ts Tensors) {
			delete(ts, "bn1.weight")
			ts["zz"] = ts["bn1.bias"]
			ts["bn1.bias"] = tensor.New(tensor.WithShape(3), tensor.Of(tensor.Float32))
		}, []string{"bn1.weight", "zz", "bn1.bias"}},
		{"nothing given", func(ts Tensors) { clear(ts) }, []string{"conv1.weight", last}},
	} {
		t.Run(x.name, func(t *testing.T) {
			ts := maps.Clone(fitting)
			x.spoil(ts)
			err := c.Set(c.ModelValues(), ts)
			if err == nil || strings.Contains(err.Error(), "written") {
				t.Fatalf("error %v, want one before anything is written", err)
			}
			for _, want := range x.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %v, want it to name %s", err, want)
				}
			}
			diffTensors(t, "after Set", all(t, c), want)
		})
	}
}

func TestModelOptionsTakeOverTheConfig(t *testing.T) {
	cfg, err := config.Parse("test", []byte(`
model:
  {name: seresnet50, in_channels: 3, classes: 7, zero_init_residual: false, v1_stride: true, dropout: 0.25,
   se: {reduction: 8, hidden_channels: 5, divisor: 4, stages: [2, 3], placement: pre, squeeze: max, gate: hard-sigmoid, bias: false}}
data: {image_size: 32, mean: [0.1, 0.2, 0.3], std: [0.4, 0.5, 0.6]}
train: {label_smoothing: 0.1}
`), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := model.Options{
		Batch: 9, Height: 32, Width: 32, Channels: 3, Mean: []float32{0.1, 0.2, 0.3}, Std: []float32{0.4, 0.5, 0.6},
		Classes: 7, V1Stride: true, Dropout: 0.25,
		SE: model.SE{Reduction: 8, Hidden: 5, Divisor: 4, Stages: []int{2, 3}, Placement: "pre", Squeeze: "max", Gate: "hard-sigmoid", NoBias: true},
	}
	if have := ModelOptions(cfg, 9); !reflect.DeepEqual(have, want) {
		t.Errorf("options %+v, want %+v", have, want)
	}
	cfg.Model.SE.Bias, cfg.Model.ZeroInitResidual, cfg.Model.V1Stride = true, true, false
	want.SE.NoBias, want.ZeroInitResidual, want.V1Stride = false, true, false
	if have := ModelOptions(cfg, 9); !reflect.DeepEqual(have, want) {
		t.Errorf("options %+v, want %+v", have, want)
	}
}
