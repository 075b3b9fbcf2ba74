package cli

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gorgonia.org/tensor"

	"senet/internal/checkpoint"
	"senet/internal/config"
)

// TestWeightsGoOutAndComeBack: what export writes, import recognises, and the network predicts the same as before.
func TestWeightsGoOutAndComeBack(t *testing.T) {
	f, dir := newFixture(t), t.TempDir()
	file, home := filepath.Join(dir, "model.safetensors"), filepath.Join(dir, "imported")
	o := senet("export", "--checkpoint", f.best(), "--out", file)
	o.want(t, 0)
	if !strings.HasPrefix(o.out, "seresnet20_cifar written to "+file+", 1.08 MiB") {
		t.Errorf("export prints %q", o.out)
	}
	want, _, err := checkpoint.LoadModel(f.best())
	if err != nil {
		t.Fatal(err)
	}
	written, _, err := checkpoint.LoadModel(file)
	if err != nil || len(written) != len(want) {
		t.Fatalf("%d tensors written, %v; want %d", len(written), err, len(want))
	}
	o = senet("import", file, "--out", home, "--json", "--set", "data.image_size=28", "--set", "data.mean=[0.286]", "--set", "data.std=[0.353]",
		"--set", "data.crop_fraction=1", "--set", "data.interpolation=bicubic")
	o.want(t, 0)
	r := one[importReport](t, o)
	if r.Model != "seresnet20_cifar" || r.Dialect != "timm" || r.Classes != 10 || r.Tensors != len(want) || len(r.Renamed)+len(r.Others) != 0 || filepath.Dir(r.Checkpoint) != home {
		t.Errorf("import reports %+v", r)
	}
	image := filepath.Join(dir, "a.png")
	writePNG(t, image, picture(3, 1))
	logits := func(path string) []float32 {
		o := senet("predict", "--device", "cpu", "--checkpoint", path, "--logits", "--json", image)
		o.want(t, 0)
		return one[predictReport](t, o).Images[0].Logits
	}
	if have, want := logits(r.Checkpoint), logits(f.best()); !slices.Equal(have, want) {
		t.Errorf("logits %v, before they were %v", have, want)
	}
	senet("import", file, "--out", home).want(t, 2, "already holds a run")
}

// TestImportTellsWhatItFound: names in another dialect are listed, and the checkpoint's config has the form of the SE blocks.
func TestImportTellsWhatItFound(t *testing.T) {
	f, dir := newFixture(t), t.TempDir()
	tensors, _, err := checkpoint.LoadModel(f.best())
	if err != nil {
		t.Fatal(err)
	}
	to := strings.NewReplacer(".se.fc1.", ".se.fc.0.", ".se.fc2.", ".se.fc.2.")
	foreign := map[string]*tensor.Dense{}
	for name, x := range tensors {
		if !strings.Contains(name, ".se.") || !strings.HasSuffix(name, ".bias") {
			foreign["module."+to.Replace(name)] = x
		}
	}
	file := filepath.Join(dir, "foreign.safetensors")
	w, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := checkpoint.WriteTensors(w, foreign); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	o := senet("import", file, "--out", filepath.Join(dir, "run"), "--set", "data.mean=[0.5]", "--set", "data.std=[0.5]")
	o.want(t, 0)
	for _, want := range []string{"in the dialect of moskomule", "  layer1.0.se.fc1.weight <- layer1.0.se.fc.0.weight\n", "  and 12 more renamed; --json lists all\n"} {
		if !strings.Contains(o.out, want) {
			t.Errorf("import prints %q, which lacks %q", o.out, want)
		}
	}
	_, m, err := checkpoint.LoadModel(filepath.Join(dir, "run", "best"))
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Parse("manifest", []byte(m.Config), nil)
	if err != nil {
		t.Fatal(err)
	}
	if se := cfg.Model.SE; se.Bias || se.HiddenChannels != 0 && se.HiddenChannels != 8 || !slices.Equal(se.Stages, []int{1, 2, 3}) {
		t.Errorf("SE blocks %+v", se)
	}
}

// TestExportONNX: the model has its name, its end and its metadata; internal/onnx proves what it computes.
func TestExportONNX(t *testing.T) {
	f, dir := newFixture(t), t.TempDir()
	for _, flags := range [][]string{nil, {"--fold"}} {
		file := filepath.Join(dir, "model.onnx")
		senet(append([]string{"export", "--checkpoint", f.best(), "--out", file}, flags...)...).want(t, 0)
		text := readFile(t, file)
		for _, want := range []string{"seresnet20_cifar", "logits", "crop_fraction", "T-shirt/top\nTrouser", "0.286"} {
			if !strings.Contains(text, want) {
				t.Errorf("%v: the file lacks %q", flags, want)
			}
		}
		if folded := !strings.Contains(text, "BatchNormalization"); folded != (flags != nil) {
			t.Errorf("%v: batch norm folded: %v", flags, folded)
		}
		if megabytes := float64(len(text)) / (1 << 20); math.Abs(megabytes-1.09) > 0.04 {
			t.Errorf("%v: %.2f MiB", flags, megabytes)
		}
	}
	left, err := filepath.Glob(filepath.Join(dir, ".tmp-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestWeightsErrors: what is wrong is named, with its exit code, and a file that is there stays.
func TestWeightsErrors(t *testing.T) {
	f, dir := newFixture(t), t.TempDir()
	there := writeFile(t, filepath.Join(dir, "there.onnx"), "precious")
	pickle := writeFile(t, filepath.Join(dir, "a.pth"), "PK\x03\x04 and so on")
	file := filepath.Join(dir, "model.safetensors")
	senet("export", "--checkpoint", f.best(), "--out", file).want(t, 0)
	for _, c := range []struct {
		code int
		want string
		args []string
	}{
		{2, "--out is required", []string{"import", file}},
		{2, "accepts 1 arg(s), received 0", []string{"import", "--out", dir}},
		{2, `unknown model; known are`, []string{"import", file, "--out", filepath.Join(dir, "x"), "--model", "resnet51"}},
		{2, `unknown key "data.crop"`, []string{"import", file, "--out", filepath.Join(dir, "x"), "--set", "data.crop=1"}},
		{3, "no such file", []string{"import", filepath.Join(dir, "none.safetensors"), "--out", filepath.Join(dir, "x")}},
		{3, "convert it", []string{"import", pickle, "--out", filepath.Join(dir, "x")}},
		{3, `tensor "layer1.3.conv1.weight" is missing, want (16, 16, 3, 3)`, []string{"import", file, "--out", filepath.Join(dir, "x"), "--model", "seresnet32_cifar"}},
		{2, "want a file that ends in .safetensors or .onnx", []string{"export", "--checkpoint", f.best(), "--out", filepath.Join(dir, "model.pt")}},
		{2, "--checkpoint is required", []string{"export", "--out", there}},
		{3, `tensor "layer1.0.se.fc1.weight": want (4, 16, 1, 1), file has (8, 16, 1, 1)`, []string{"export", "--checkpoint", f.best(), "--out", there, "--set", "model.se.hidden_channels=4"}},
		{1, "no such file or directory", []string{"export", "--checkpoint", f.best(), "--out", filepath.Join(dir, "no", "m.onnx")}},
	} {
		senet(c.args...).want(t, c.code, c.want)
	}
	if text := readFile(t, there); text != "precious" {
		t.Errorf("the file that was there is now %q", text)
	}
	if _, err := os.Stat(filepath.Join(dir, "x")); !os.IsNotExist(err) {
		t.Errorf("a refused import left a folder: %v", err)
	}
}
