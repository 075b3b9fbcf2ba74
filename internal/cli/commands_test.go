package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"senet/internal/backend"
	"senet/internal/config"
	"senet/internal/cuda"
	"senet/internal/model"
)

// TestConfigPrintIsTheEffectiveConfig: what it prints is read back as the same config, and overrides win over the file.
func TestConfigPrintIsTheEffectiveConfig(t *testing.T) {
	f := newFixture(t)
	sets := []string{"train.lr=0.5", "train.lr=0.25", "model.se.gate=hard-sigmoid"}
	args := []string{"config", "print", "--config", f.config}
	for _, s := range sets {
		args = append(args, "--set", s)
	}
	o := senet(args...)
	o.want(t, 0)
	want, err := config.Load(f.config, sets)
	if err != nil {
		t.Fatal(err)
	}
	got, err := config.Parse("stdout", []byte(o.out), nil)
	if err != nil || !reflect.DeepEqual(got, want) || o.err != "" {
		t.Errorf("have %+v, want %+v, error %v, stderr %q", got, want, err, o.err)
	}
	if got.Train.LR != 0.25 || got.Train.BatchSize != 8 || got.Train.Momentum != 0.9 {
		t.Errorf("lr %v, batch size %v, momentum %v, want 0.25 of the last override, 8 of the file and the default 0.9", got.Train.LR, got.Train.BatchSize, got.Train.Momentum)
	}
}

// TestAutoTellsThatTheCPUIsUsed: in one line with the reason on stderr; who asks for the CPU is told nothing.
func TestAutoTellsThatTheCPUIsUsed(t *testing.T) {
	problem := cuda.Probe().Problem
	if problem == "" {
		t.Skip("this machine has a GPU")
	}
	f := newFixture(t)
	path := filepath.Join(t.TempDir(), "a.png")
	writePNG(t, path, picture(0, 0))
	for _, args := range [][]string{
		f.train(filepath.Join(t.TempDir(), "run")),
		{"eval", "--checkpoint", f.best()},
		{"predict", "--checkpoint", f.best(), path},
	} {
		o := senet(append(args, "--device", "auto")...)
		o.want(t, 0)
		if want := "device: using the CPU, " + problem + "\n"; o.err != want || strings.Contains(o.out, "device:") {
			t.Errorf("%s: stderr %q, want %q", args[0], o.err, want)
		}
		args = slices.Concat(args, []string{"--device", "cpu", "--set", "device=auto", "--set", "output.dir=" + t.TempDir()})
		if o := senet(args...); o.code != 0 || o.err != "" {
			t.Errorf("%s on the CPU as asked for: exit code %d, stderr %q", args[0], o.code, o.err)
		}
	}
}

// TestSummaryTotals: parameters are timm's counts, FLOPs and overhead those of the paper (3.86 and 3.87 GFLOPs for v1; v1.5 has 4.09 and 4.10).
func TestSummaryTotals(t *testing.T) {
	o := senet("summary", "--model", "seresnet50", "--json")
	o.want(t, 0)
	r := one[summaryReport](t, o)
	if r.Model != "seresnet50" || !slices.Equal(r.Input, []int{3, 224, 224}) || r.Total.Params != 28088024 || r.Without.Params != 25557032 {
		t.Errorf("%s, input %v, total %+v, without SE %+v", r.Model, r.Input, r.Total, r.Without)
	}
	if r.SE == nil || !(r.SE.Params > 9.9 && r.SE.Params < 9.91) || !(r.SE.FLOPs > 0 && r.SE.FLOPs < 1) {
		t.Errorf("SE adds %+v", r.SE)
	}
	var sum totalReport
	for _, l := range r.Layers {
		sum.Params += l.Params
		sum.FLOPs += l.FLOPs
		sum.Activation += l.Activation
	}
	if sum != r.Total || sum.FLOPs < 4.0e9 || sum.FLOPs > 4.2e9 {
		t.Errorf("the layers add up to %+v, the total is %+v", sum, r.Total)
	}
	twin := one[summaryReport](t, senet("summary", "--model", "resnet50", "--json"))
	if twin.Total != r.Without || twin.Without != twin.Total || twin.SE != nil {
		t.Errorf("resnet50 has %+v, without SE %+v, SE adds %+v; seresnet50 without SE has %+v", twin.Total, twin.Without, twin.SE, r.Without)
	}
}

// TestSummaryIsATable: of rows that are equally wide, with the totals and what SE adds.
func TestSummaryIsATable(t *testing.T) {
	for _, name := range []string{"seresnet50", "se_bninception", "resnet20_cifar"} {
		o := senet("summary", "--model", name)
		o.want(t, 0)
		parts := strings.Split(o.out, "\n\n")
		rows := strings.Split(parts[1], "\n")
		if len(rows) < 20 || !strings.HasPrefix(rows[0], "layer ") {
			t.Fatalf("%s: %d rows, the first %q", name, len(rows), rows[0])
		}
		for _, row := range append(rows, strings.Split(parts[2], "\n")[0]) {
			if len(row) != len(rows[0]) {
				t.Errorf("%s: %d characters, the header has %d: %q", name, len(row), len(rows[0]), row)
			}
		}
		if added := strings.Contains(o.out, "\nSE adds "); added != model.HasSE(name) {
			t.Errorf("%s: says what SE adds: %v", name, added)
		}
	}
	if o := senet("summary", "--model", "seresnet50"); !strings.Contains(o.out, "28,088,024") || !strings.Contains(o.out, "25,557,032") ||
		!strings.Contains(o.out, "SE adds 9.90 % parameters and 0.33 % FLOPs\n") {
		t.Errorf("the end is %s", o.out[len(o.out)-400:])
	}
}

// TestSummaryOfEveryModel: by name, and by a config.
func TestSummaryOfEveryModel(t *testing.T) {
	for _, name := range model.Names() {
		o := senet("summary", "--model", name, "--classes", "7", "--json")
		o.want(t, 0)
		r := one[summaryReport](t, o)
		if last := r.Layers[len(r.Layers)-1]; r.Model != name || !slices.Equal(last.Shape, []int{7}) || r.Total.Params < 1000 {
			t.Errorf("%s: %s with %d parameters ends in %+v", name, r.Model, r.Total.Params, last)
		}
	}
	f := newFixture(t)
	r := one[summaryReport](t, senet("summary", "--config", f.config, "--set", "model.se.stages=[1]", "--json"))
	if !slices.Equal(r.Input, []int{1, 28, 28}) || r.Total.Params <= r.Without.Params || r.Total.Params >= 277970 {
		t.Errorf("input %v, total %+v, without SE %+v", r.Input, r.Total, r.Without)
	}
}

// TestDoctor: text and JSON say the same of this machine.
func TestDoctor(t *testing.T) {
	o := senet("doctor", "--json")
	o.want(t, 0)
	r := one[doctorReport](t, o)
	v := one[versionInfo](t, senet("version", "--json"))
	if r.Version != v || r.CPU.Cores != runtime.GOMAXPROCS(0) || r.CPU.MemoryBytes < 1<<28 || !slices.Contains(r.CPU.Features, "avx2") {
		t.Errorf("version %+v, want %+v; CPU %+v", r.Version, v, r.CPU)
	}
	if !strings.HasPrefix(r.CPU.Backend, "cpu: ") || r.CPU.Problem != "" || r.Auto == "" || o.err != "" {
		t.Errorf("backend %q, problem %q, auto %q, stderr %q", r.CPU.Backend, r.CPU.Problem, r.Auto, o.err)
	}
	if !reflect.DeepEqual(r.CUDA, cuda.Probe()) {
		t.Errorf("CUDA %+v, want %+v", r.CUDA, cuda.Probe())
	}
	if len(r.Libraries) != 1 || r.Libraries[0].Version != v.OneDNN || !filepath.IsAbs(r.Libraries[0].Path) {
		t.Fatalf("libraries %+v", r.Libraries)
	}
	if _, err := os.Stat(r.Libraries[0].Path); err != nil {
		t.Error(err)
	}
	o = senet("doctor")
	o.want(t, 0)
	for _, text := range []string{"senet      " + v.Version, r.CPU.Model, fmt.Sprintf("%d cores", r.CPU.Cores), strings.Join(r.CPU.Features, " "), r.CPU.Backend, r.Libraries[0].Path, "--device auto takes " + r.Auto} {
		if !strings.Contains(o.out, text) {
			t.Errorf("stdout lacks %q:\n%s", text, o.out)
		}
	}
	if r.Auto == "cpu" && !strings.Contains(o.out, "gpu        not used: "+noGPU(r.CUDA)) {
		t.Errorf("stdout does not say why no GPU is used:\n%s", o.out)
	}
}

// TestDoctorTellsOfAMachineThatCannotCompute: it reports all the same, then exits with 4.
func TestDoctorTellsOfAMachineThatCannotCompute(t *testing.T) {
	old := deps{open: func(deviceOptions) (backend.Backend, string, error) {
		return nil, "", fmt.Errorf("cpu: %w: the processor has no AVX2 and FMA", backend.ErrNoDevice)
	}}
	o := run(old, "doctor", "--json")
	o.want(t, 4, "senet: cpu: no such device: the processor has no AVX2 and FMA\n")
	if r := one[doctorReport](t, o); !strings.Contains(r.CPU.Problem, "no AVX2") || r.CPU.Backend != "" || r.Auto != "" {
		t.Errorf("CPU %+v, auto %q", r.CPU, r.Auto)
	}
	o = run(old, "doctor")
	o.want(t, 4)
	if !strings.Contains(o.out, "backend    cannot be used: cpu: no such device") || !strings.Contains(o.out, "--device auto takes nothing") {
		t.Errorf("stdout: %s", o.out)
	}
}

// TestVersion: the line names the versions that the JSON object holds.
func TestVersion(t *testing.T) {
	o := senet("version", "--json")
	o.want(t, 0)
	v := one[versionInfo](t, o)
	if v.Version != Version || v.Go != runtime.Version() || v.Platform != runtime.GOOS+"/"+runtime.GOARCH || strings.Count(v.OneDNN, ".") != 2 {
		t.Errorf("%+v", v)
	}
	o = senet("version")
	o.want(t, 0)
	if want := fmt.Sprintf("senet %s (%s, %s, oneDNN %s)\n", v.Version, v.Go, v.Platform, v.OneDNN); o.out != want {
		t.Errorf("%q, want %q", o.out, want)
	}
}

// fullDisk refuses every write.
type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

// TestResultThatCannotBeWritten: a command whose result is lost does not exit with 0.
func TestResultThatCannotBeWritten(t *testing.T) {
	f := newFixture(t)
	path := filepath.Join(t.TempDir(), "a.png")
	writePNG(t, path, picture(0, 0))
	for _, args := range [][]string{
		{"version"},
		{"version", "--json"},
		{"doctor"},
		{"doctor", "--json"},
		{"summary", "--model", "resnet20_cifar"},
		{"summary", "--model", "resnet20_cifar", "--json"},
		{"config", "print", "--config", f.config},
		{"eval", "--checkpoint", f.best()},
		{"eval", "--checkpoint", f.best(), "--json"},
		{"predict", "--checkpoint", f.best(), path},
		{"predict", "--checkpoint", f.best(), "--json", path},
		f.train(filepath.Join(t.TempDir(), "run")),
	} {
		run(deps{Streams: Streams{Out: fullDisk{}}}, args...).want(t, 1, "no space left on device")
	}
}
