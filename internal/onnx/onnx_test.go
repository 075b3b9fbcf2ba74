package onnx

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gorgonia.org/tensor"

	"senet/internal/cpu"
	"senet/internal/graph"
	"senet/internal/model"
)

// modules is where `make test` puts onnxruntime and onnx for Python.
const modules = "../../.deps/onnx"

const batch, size, classes = 3, 64, 10

// randomised has numbers for every parameter and running statistic, none of them the usual 0 or 1.
func randomised(g *graph.Graph) map[string]*tensor.Dense {
	ts := map[string]*tensor.Dense{}
	for _, v := range append(g.Params(), g.States()...) {
		x := v.Fill(1)
		r := rand.New(rand.NewPCG(2, uint64(v.ID)))
		if v.Init.Kind == graph.Constant {
			for i := range x {
				x[i] = float32(0.3 * r.NormFloat64())
				if strings.HasSuffix(v.Name, "var") || strings.HasSuffix(v.Name, ".weight") {
					x[i] = float32(0.5 + r.Float64())
				}
			}
		}
		ts[v.Name] = tensor.New(tensor.WithShape(v.Shape...), tensor.WithBacking(x))
	}
	return ts
}

// logits runs the network on b with random pixels; it also returns the pixels normalised, (N, C, H, W).
func logits(t *testing.T, net *model.Network, ts map[string]*tensor.Dense, channels int) (out, input []float32) {
	t.Helper()
	p, err := graph.Inference(net.Graph, net.Ends, graph.InferenceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := cpu.New(cpu.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	exe, err := b.Compile(p)
	if err != nil {
		t.Fatal(err)
	}
	defer exe.Close()
	for _, v := range p.Persistent() {
		if x := ts[v.Name]; x != nil {
			if err := exe.Write(v, x); err != nil {
				t.Fatal(err)
			}
		}
	}
	r := rand.New(rand.NewPCG(3, 4))
	pixels, input := make([]uint8, batch*size*size*channels), make([]float32, batch*size*size*channels)
	for i := range pixels {
		pixels[i] = uint8(r.IntN(256))
		n, pixel, c := i/(size*size*channels), i/channels%(size*size), i%channels
		input[(n*channels+c)*size*size+pixel] = (float32(pixels[i])/255 - 0.45) / 0.25
	}
	if err := exe.Write(p.Image, tensor.New(tensor.WithShape(p.Image.Shape...), tensor.WithBacking(pixels))); err != nil {
		t.Fatal(err)
	}
	for _, ph := range []graph.Phase{graph.Prepare, graph.Step} {
		if err := exe.Run(ph); err != nil {
			t.Fatal(err)
		}
	}
	read, err := exe.Read(p.Logits)
	if err != nil {
		t.Fatal(err)
	}
	return read.Data().([]float32), input
}

// TestONNXRuntime: onnx's checker accepts each model, and onnxruntime's logits agree with the CPU backend's at another
// batch size than the network was built for.
func TestONNXRuntime(t *testing.T) {
	if _, err := os.Stat(modules); err != nil {
		t.Skip("no onnxruntime here; make test installs it: ", err)
	}
	se := model.SE{Reduction: 16}
	for _, c := range []struct {
		name     string
		se       model.SE
		channels int
		fold     bool
	}{
		{"seresnet50", se, 3, false},
		{"seresnet50", se, 3, true},
		{"seresnet20_cifar", se, 1, true},
		{"resnext50_32x4d", se, 3, true},
		{"legacy_seresnet18", se, 3, false},
		{"se_bninception", se, 3, true},
		{"se_bninception", model.SE{Reduction: 16, Squeeze: model.SqueezeMax, Gate: model.GateHardSigmoid}, 3, false},
		{"seresnet18", model.SE{Reduction: 8, Placement: model.Pre, Gate: model.GateTanh}, 3, true},
		{"seresnet18", model.SE{Reduction: 8, Placement: model.Post, NoBias: true}, 3, false},
		{"seresnet34", model.SE{Hidden: 16, Placement: model.Identity, Stages: []int{1, 3}}, 3, true},
		{"seresnet18", model.SE{Hidden: 16, Gate: model.GateReLU, Stages: []int{2}}, 3, false},
	} {
		t.Run(fmt.Sprint(c.name, c.se, c.fold), func(t *testing.T) {
			build := func(n int) *model.Network {
				net, err := model.Build(c.name, model.Options{
					Batch: n, Height: size, Width: size, Channels: c.channels, Mean: slices.Repeat([]float32{0.45}, c.channels),
					Std: slices.Repeat([]float32{0.25}, c.channels), Classes: classes, SE: c.se, Dropout: 0.2,
				})
				if err != nil {
					t.Fatal(err)
				}
				return net
			}
			net := build(batch)
			ts := randomised(net.Graph)
			want, input := logits(t, net, ts, c.channels)
			one := build(1)
			var text bytes.Buffer
			if err := Write(&text, one.Graph, one.Ends.Logits, ts, Options{Name: c.name, Fold: c.fold, Version: "test", Metadata: map[string]string{"mean": "0.45"}}); err != nil {
				t.Fatal(err)
			}
			compare(t, run(t, text.Bytes(), input, c.channels), want)
		})
	}
}

// run is onnxruntime's logits, row by row.
func run(t *testing.T, text []byte, input []float32, channels int) [][]float64 {
	t.Helper()
	dir := t.TempDir()
	path, data := filepath.Join(dir, "model.onnx"), filepath.Join(dir, "input.f32")
	var raw []byte
	for _, x := range input {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(x))
	}
	for file, content := range map[string][]byte{path: text, data: raw} {
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("python3", "../../scripts/onnx_run.py", path, data, fmt.Sprint(batch), fmt.Sprint(channels), fmt.Sprint(size), fmt.Sprint(size))
	cmd.Env = append(os.Environ(), "PYTHONPATH="+modules)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s", err, errs.String())
	}
	var rows [][]float64
	if err := json.Unmarshal(out.Bytes(), &rows); err != nil {
		t.Fatal(err)
	}
	return rows
}

func compare(t *testing.T, have [][]float64, want []float32) {
	t.Helper()
	if len(have) != batch || len(have[0]) != classes {
		t.Fatalf("%d rows of %d logits", len(have), len(have[0]))
	}
	largest := 0.0
	for _, w := range want {
		largest = max(largest, math.Abs(float64(w)))
	}
	for i, w := range want {
		if off := math.Abs(have[i/classes][i%classes]-float64(w)) / largest; !(off <= 1e-4) {
			t.Fatalf("logit %d is %g, want %g: relative error %.2g", i, have[i/classes][i%classes], w, off)
		}
	}
}

// TestWriteErrors: weights that are missing or of another shape are named.
func TestWriteErrors(t *testing.T) {
	net, err := model.Build("seresnet18", model.Options{
		Batch: 1, Height: size, Width: size, Channels: 3, Mean: make([]float32, 3), Std: []float32{1, 1, 1}, Classes: classes, SE: model.SE{Reduction: 16},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, fold := range []bool{false, true} {
		for _, name := range []string{"layer2.0.conv1.weight", "layer1.0.bn2.running_var", "fc.bias"} {
			ts := randomised(net.Graph)
			ts[name] = tensor.New(tensor.WithShape(7), tensor.Of(tensor.Float32))
			err := Write(&bytes.Buffer{}, net.Graph, net.Ends.Logits, ts, Options{Fold: fold})
			if err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("error %v, want one that names %q", err, name)
			}
		}
	}
}
