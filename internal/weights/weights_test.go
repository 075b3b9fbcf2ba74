package weights

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"gorgonia.org/tensor"

	"senet/internal/graph"
	"senet/internal/model"
)

// stateDict has the tensors of a network, each filled with a number of its own.
func stateDict(t *testing.T, name string, classes int, se model.SE) map[string]*tensor.Dense {
	t.Helper()
	net, err := model.Build(name, model.Options{
		Batch: 1, Height: 64, Width: 64, Channels: 3, Mean: make([]float32, 3), Std: []float32{1, 1, 1}, Classes: classes, SE: se,
	})
	if err != nil {
		t.Fatal(err)
	}
	ts := map[string]*tensor.Dense{}
	for i, v := range append(net.Graph.Params(), net.Graph.States()...) {
		ts[v.Name] = tensor.New(tensor.WithShape(v.Shape...), tensor.WithBacking(slices.Repeat([]float32{float32(i + 1)}, v.Shape.Elems())))
	}
	return ts
}

// renamed applies to to every name.
func renamed(ts map[string]*tensor.Dense, to func(string) string) map[string]*tensor.Dense {
	out := map[string]*tensor.Dense{}
	for name, t := range ts {
		out[to(name)] = t
	}
	return out
}

// matrices reshapes (R, C, 1, 1) to (R, C), as libraries with linear layers keep them.
func matrices(t *testing.T, ts map[string]*tensor.Dense) map[string]*tensor.Dense {
	t.Helper()
	out := map[string]*tensor.Dense{}
	for name, x := range ts {
		out[name] = x
		if strings.Contains(name, ".se.fc") && x.Dims() == 4 {
			out[name] = x.Clone().(*tensor.Dense)
			if err := out[name].Reshape(x.Shape()[:2]...); err != nil {
				t.Fatal(err)
			}
		}
	}
	return out
}

// same verifies that two state dicts have the same shapes and numbers.
func same(t *testing.T, have, want map[string]*tensor.Dense) {
	t.Helper()
	if !slices.Equal(slices.Sorted(maps.Keys(have)), slices.Sorted(maps.Keys(want))) {
		t.Fatalf("%d tensors, want %d of the network's names", len(have), len(want))
	}
	for name, w := range want {
		if !graph.Shape(have[name].Shape()).Equal(graph.Shape(w.Shape())) || have[name].Data().([]float32)[0] != w.Data().([]float32)[0] {
			t.Errorf("%q: have %v of %v, want %v of %v", name, have[name].Data().([]float32)[0], have[name].Shape(), w.Data().([]float32)[0], w.Shape())
		}
	}
}

// TestEveryNetworkIsRecognised by the names and shapes of its own tensors, down to its classes and SE blocks.
func TestEveryNetworkIsRecognised(t *testing.T) {
	for _, name := range model.Names() {
		t.Run(name, func(t *testing.T) {
			want := stateDict(t, name, 7, model.SE{Reduction: 16})
			found, err := Import(want, "")
			if err != nil {
				t.Fatal(err)
			}
			if found.Model != name || found.Classes != 7 || found.Channels != 3 || len(found.Renamed) != 0 {
				t.Errorf("found %s with %d classes and %d channels, %d renamed", found.Model, found.Classes, found.Channels, len(found.Renamed))
			}
			same(t, found.Tensors, want)
		})
	}
}

func TestDialects(t *testing.T) {
	nvidia := strings.NewReplacer("layer1.", "layers.0.", "layer2.", "layers.1.", "layer3.", "layers.2.", "layer4.", "layers.3.",
		".se.fc1.", ".squeeze.squeeze.", ".se.fc2.", ".squeeze.expand.")
	newerNVIDIA := strings.NewReplacer(".se.fc1.", ".squeeze.squeeze.", ".se.fc2.", ".squeeze.expand.")
	moskomule := strings.NewReplacer(".se.fc1.", ".se.fc.0.", ".se.fc2.", ".se.fc.2.")
	prefixed := func(p string) func(string) string { return func(s string) string { return p + s } }
	fixed, bare := model.SE{Hidden: 16}, model.SE{Reduction: 16, Divisor: 1, NoBias: true}
	for _, c := range []struct {
		name, model string
		se          model.SE
		write       func(ts map[string]*tensor.Dense) map[string]*tensor.Dense
		dialect     Dialect
	}{
		{"nvidia", "seresnext101_32x4d", fixed, func(ts map[string]*tensor.Dense) map[string]*tensor.Dense {
			return renamed(matrices(t, ts), func(s string) string { return "module." + nvidia.Replace(s) })
		}, NVIDIA},
		{"nvidia 20.06", "seresnext101_32x4d", fixed, func(ts map[string]*tensor.Dense) map[string]*tensor.Dense {
			return renamed(matrices(t, ts), newerNVIDIA.Replace)
		}, NVIDIA},
		{"moskomule", "seresnet50", bare, func(ts map[string]*tensor.Dense) map[string]*tensor.Dense {
			return renamed(matrices(t, ts), moskomule.Replace)
		}, Moskomule},
		{"torchvision in a wrapper", "resnet50", model.SE{Reduction: 16}, func(ts map[string]*tensor.Dense) map[string]*tensor.Dense {
			return renamed(ts, prefixed("state_dict.module."))
		}, Timm},
		{"compiled", "seresnet50", model.SE{Reduction: 16}, func(ts map[string]*tensor.Dense) map[string]*tensor.Dense {
			return renamed(ts, prefixed("_orig_mod.module."))
		}, Timm},
		{"average beside the weights", "seresnet18", model.SE{Reduction: 16}, func(ts map[string]*tensor.Dense) map[string]*tensor.Dense {
			out := renamed(ts, prefixed("state_dict_ema."))
			for name, x := range ts {
				other := x.Clone().(*tensor.Dense)
				other.Data().([]float32)[0] = -1
				out["state_dict."+name] = other
			}
			return out
		}, Timm},
		{"some stages", "seresnet50", model.SE{Reduction: 8, Stages: []int{1, 3}}, maps.Clone[map[string]*tensor.Dense], Timm},
		{"legacy", "legacy_senet154", model.SE{Reduction: 16}, maps.Clone[map[string]*tensor.Dense], Cadene},
	} {
		t.Run(c.name, func(t *testing.T) {
			want := stateDict(t, c.model, 1000, c.se)
			found, err := Import(c.write(want), "")
			if err != nil {
				t.Fatal(err)
			}
			if found.Model != c.model || found.Dialect != c.dialect || found.Classes != 1000 {
				t.Errorf("found %s in dialect %s with %d classes", found.Model, found.Dialect, found.Classes)
			}
			same(t, found.Tensors, want)
			if _, err := Import(c.write(want), c.model); err != nil {
				t.Errorf("asked for by name: %v", err)
			}
		})
	}
}

// TestUnfitting: every tensor that is missing, left over or of another shape is listed, and nothing else is.
func TestUnfitting(t *testing.T) {
	ts := stateDict(t, "seresnet18", 10, model.SE{Reduction: 16})
	delete(ts, "layer2.0.bn1.running_var")
	ts["layer1.0.conv1.weight"] = tensor.New(tensor.WithShape(64, 64, 1, 3), tensor.Of(tensor.Float32))
	ts["aux.weight"] = tensor.New(tensor.WithShape(3), tensor.Of(tensor.Float32))
	for _, name := range []string{"", "seresnet18"} {
		_, err := Import(ts, name)
		if !errors.Is(err, ErrUnfitting) {
			t.Fatalf("error %v", err)
		}
		for _, want := range []string{
			"3 tensors differ", `"layer2.0.bn1.running_var" is missing, want (128)`,
			`"layer1.0.conv1.weight": want (64, 64, 3, 3), file has (64, 64, 1, 3)`, `"aux.weight" (3) is not part`,
		} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q: error %q lacks %q", name, err, want)
			}
		}
	}
	whole := stateDict(t, "seresnet18", 10, model.SE{Reduction: 16})
	for name, want := range map[string]string{"resnet18": "one has SE blocks", "seresnet34": "tensors differ", "nonsense": "unknown model"} {
		if _, err := Import(whole, name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q", name, err, want)
		}
	}
}

func TestNoStateDict(t *testing.T) {
	one := func(name string, shape ...int) map[string]*tensor.Dense {
		return map[string]*tensor.Dense{name: tensor.New(tensor.WithShape(shape...), tensor.Of(tensor.Float32))}
	}
	widths := stateDict(t, "seresnet18", 10, model.SE{Hidden: 8})
	widths["layer3.1.se.fc1.weight"] = tensor.New(tensor.WithShape(9, 256, 1, 1), tensor.Of(tensor.Float32))
	half := stateDict(t, "seresnet18", 10, model.SE{Hidden: 8})
	delete(half, "layer3.1.se.fc1.bias")
	for want, ts := range map[string]map[string]*tensor.Dense{
		"there are no tensors":      {},
		"no known dialect":          one("transformer.wte.weight", 3, 4),
		"no first convolution":      one("fc.weight", 3, 4),
		"no classifier":             one("fc.bias", 3),
		"no rule gives":             widths,
		"7 of 8 SE blocks have bia": half,
	} {
		if _, err := Import(ts, ""); !errors.Is(err, ErrUnfitting) || !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
}
