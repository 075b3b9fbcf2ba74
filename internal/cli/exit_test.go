package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"gorgonia.org/tensor"

	"senet/internal/backend"
	"senet/internal/checkpoint"
	"senet/internal/cuda"
	"senet/internal/graph"
	"senet/internal/train"
)

// TestUsageErrors: a wrong command line exits with 2, and its one line says what is wrong and where to read on.
func TestUsageErrors(t *testing.T) {
	f := newFixture(t)
	dir := t.TempDir()
	for _, c := range []struct {
		args string // split at spaces
		want string
	}{
		{"evl", `usage: unknown command "evl" for "senet", did you mean "eval"? (see senet --help)`},
		{"frobnicate", `usage: unknown command "frobnicate" for "senet" (see senet --help)`},
		{"config prnt", `usage: unknown command "prnt" for "senet config", did you mean "print"? (see senet config --help)`},
		{"help evl", `usage: unknown command "evl" for "senet", did you mean "eval"?`},
		{"help train more", `usage: unknown command "more" for "senet train"`},
		{"completion basch", `usage: unknown command "basch" for "senet completion"`},
		{"completion bash more", `usage: unknown command "more" for "senet completion bash"`},
		{"train --frobnicate", "usage: unknown flag: --frobnicate (see senet train --help)"},
		{"train --set", "usage: flag needs an argument: --set (see senet train --help)"},
		{"train now", `usage: unknown command "now" for "senet train" (see senet train --help)`},
		{"version now", `usage: unknown command "now" for "senet version"`},
		{"summary --size big", `invalid argument "big" for "--size" flag`},
		{"train", "usage: --config is required"},
		{"config print", "usage: --config is required"},
		{"summary", "usage: --model or --config is required"},
		{"eval", "usage: --checkpoint is required"},
		{"predict a.png", "usage: --checkpoint is required"},
		{"predict --checkpoint runs/best", "usage: requires at least 1 arg(s), only received 0 (see senet predict --help)"},
		{"predict --checkpoint runs/best --top 0 a.png", "usage: --top 0: want at least 1"},
		{"train --config CONFIG --device gpu", `invalid argument "gpu" for "--device" flag: want auto, cpu, cuda or cuda:N (see senet train --help)`},
		{"eval --checkpoint CHECKPOINT --precision half", `invalid argument "half" for "--precision" flag: want auto, float32, tf32, bf16 or fp16 (see senet eval --help)`},
		{"eval --checkpoint CHECKPOINT --precision bf16", "bad config: precision: want auto or float32 on the CPU, have bf16"},
		{"train --config CONFIG --precision fp16 --set output.dir=DIR/a", "bad config: precision: want auto or float32 on the CPU, have fp16"},
		{"train --config CONFIG --set precision=tf32 --set output.dir=DIR/a", "bad config: precision: want auto or float32 on the CPU, have tf32"},
		{"bench train --model resnet20_cifar --device cpu --precision bf16", "bad config: precision: want auto or float32 on the CPU, have bf16"},
		{"train --config CONFIG --set precision=half", "precision: want one of auto, float32, tf32, bf16, fp16"},
		{"doctor --device cuda:x", `invalid argument "cuda:x" for "--device" flag: want auto, cpu, cuda or cuda:N`},
		{"summary --config CONFIG --model resnet50", "usage: --config and --model do not go together"},
		{"summary --model resnet50 --set model.classes=2", "usage: --model and --set do not go together"},
		{"summary --config CONFIG --size 32", "usage: --config and --size do not go together"},
		{"summary --config CONFIG --classes 2", "usage: --config and --classes do not go together"},
		{"summary --model resnet50 --size 0", `usage: model "resnet50": batch 1, image (0, 0, 3)`},
		{"summary --model resnet51", `model "resnet51": unknown model; known are`},
		{"train --config missing.yaml", "bad config: open missing.yaml: no such file or directory"},
		{"train --config CONFIG --set train.lr", "bad config: --set train.lr: want key=value"},
		{"train --config CONFIG --set train.epoch=3", `bad config: --set train.epoch=3: unknown key "train.epoch", did you mean "train.epochs"?`},
		{"train --config CONFIG --set train.lr=-1", "bad config: --set train.lr=-1: train.lr: want a number in (0, 100], have -1"},
		{"train --config CONFIG --set device=gpu", "device: want one of auto, cpu, cuda, cuda:N"},
		{"train --config CONFIG --set model.name=resnet20 --set output.dir=DIR/a", `bad config: model "resnet20": unknown model; known are`},
		{"train --config CONFIG --set model.name=bninception --set output.dir=DIR/a", `bad config: model "bninception": build graph: `}, // too small an image
		{"train --config CONFIG --set model.classes=11 --set output.dir=DIR/a", "bad config: data.source fashion-mnist has 28x28 images of 1 channels in 10 classes, but the config says data.image_size 28, model.in_channels 1, model.classes 11"},
		{"eval --config CONFIG --checkpoint CHECKPOINT --set train.epoch=3", `did you mean "train.epochs"?`},
		{"eval --checkpoint CHECKPOINT --set train.epoch=3", `did you mean "train.epochs"?`},
		{"train --config CONFIG --set output.dir=RUN", "folder in use: output.dir " + f.run + " already holds a run"},
	} {
		t.Run(strings.ReplaceAll(c.args, "/", "_"), func(t *testing.T) {
			args := strings.NewReplacer("CONFIG", f.config, "CHECKPOINT", f.best(), "RUN", f.run, "DIR", dir).Replace(c.args)
			o := senet(strings.Fields(args)...)
			o.want(t, 2, c.want)
			if o.out != "" || strings.Count(o.err, "\n") != 1 {
				t.Errorf("want nothing on stdout and one line on stderr, have\n%s\n%s", o.out, o.err)
			}
		})
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("trainings that were refused left %v, error %v", left, err)
	}
}

// TestEveryConfigProblemIsListed: the file's problems come at once, each with its line, the later ones indented.
func TestEveryConfigProblemIsListed(t *testing.T) {
	path := writeFile(t, filepath.Join(t.TempDir(), "bad.yaml"), "model: {name: seresnet20_cifar}\ntrain:\n  epoch: 3\n  lr: fast\n")
	o := senet("config", "print", "--config", path)
	o.want(t, 2)
	want := "senet: bad config: " + path + ":3: unknown key \"train.epoch\", did you mean \"train.epochs\"?\n" +
		"  bad config: " + path + ":4: train.lr: want a number in (0, 100], have the string \"fast\"\n"
	if o.err != want || o.out != "" {
		t.Errorf("stdout %q, stderr\n%swant\n%s", o.out, o.err, want)
	}
}

// TestBadDataAndCheckpoints: exit code 3, and the file is named.
func TestBadDataAndCheckpoints(t *testing.T) {
	f := newFixture(t)
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }

	noImage := writeFile(t, at("text.png"), "no image")
	torn := at("torn")
	if err := os.CopyFS(torn, os.DirFS(f.data)); err != nil {
		t.Fatal(err)
	}
	pixels := filepath.Join(torn, "t10k-images-idx3-ubyte.gz")
	writeFile(t, pixels, readFile(t, pixels)[:1000])

	damaged := at("damaged")
	if err := os.CopyFS(damaged, os.DirFS(f.best())); err != nil {
		t.Fatal(err)
	}
	model := []byte(readFile(t, filepath.Join(damaged, "model.safetensors")))
	model[len(model)-100] ^= 1
	writeFile(t, filepath.Join(damaged, "model.safetensors"), string(model))
	bare := writeFile(t, at("bare.safetensors"), readFile(t, filepath.Join(f.best(), "model.safetensors")))
	huge := f.hugeWeights(t, at("huge"))
	writePNG(t, at("a.png"), picture(0, 0))

	for _, c := range []struct {
		name string
		args []string
		want []string
	}{
		{"no data", f.train(at("a"), "--set", "data.dir="+at("none")), []string{"bad data: ", at("none"), "apt-get install dataset-fashion-mnist"}},
		{"torn data", f.train(at("a"), "--set", "data.dir="+torn), []string{"bad data: " + pixels}},
		{"eval without data", []string{"eval", "--checkpoint", f.best(), "--set", "data.dir=" + at("none")}, []string{"bad data: ", at("none")}},
		{"eval on torn data", []string{"eval", "--checkpoint", f.best(), "--set", "data.dir=" + torn}, []string{"bad data: " + pixels}},
		{"too few images", f.train(at("a"), "--set", "train.batch_size=100"), []string{"bad data: the data set has 64 images, fewer than one training batch of 100"}},
		{"no image", []string{"predict", "--checkpoint", f.best(), noImage}, []string{"bad data: " + noImage + ": not a JPEG, PNG, GIF or WebP image"}},
		{"missing image", []string{"predict", "--checkpoint", f.best(), at("b.png")}, []string{at("b.png"), "no such file"}},
		{"missing checkpoint", []string{"predict", "--checkpoint", at("none"), at("a.png")}, []string{"bad checkpoint: ", at("none"), "no such file"}},
		{"eval of a missing checkpoint", []string{"eval", "--checkpoint", at("none")}, []string{"bad checkpoint: ", at("none"), "no such file"}},
		{"the run's folder", []string{"eval", "--checkpoint", f.run}, []string{"is a run's folder, no checkpoint: name one within it, such as " + filepath.Join(f.run, "last")}},
		{"damaged checkpoint", []string{"eval", "--checkpoint", damaged}, []string{"bad checkpoint: " + damaged, "is damaged"}},
		{"resume of a damaged checkpoint", f.train(at("a"), "--resume", damaged), []string{"bad checkpoint: " + damaged, "is damaged"}},
		{"resume of a missing checkpoint", f.train(at("a"), "--resume", at("none")), []string{"bad checkpoint: ", at("none"), "no such file"}},
		{"resume of another network", f.train(at("a"), "--resume", f.best(), "--set", "model.name=resnet20_cifar", "--set", "train.epochs=4", "--force-config"), []string{"it holds seresnet20_cifar, the config says model.name: resnet20_cifar"}},
		{"another network", []string{"eval", "--checkpoint", f.best(), "--set", "model.name=resnet20_cifar"}, []string{"bad checkpoint: " + f.best() + " holds seresnet20_cifar, the config says model.name: resnet20_cifar"}},
		{"a bare file of another network", []string{"eval", "--checkpoint", bare, "--config", f.config, "--set", "model.name=resnet20_cifar"}, []string{"load " + bare + " into resnet20_cifar: ", "\n  tensor \"layer3.2.se.fc2.weight\" (64, 8, 1, 1) is not part of the network\n"}},
		{"weights that overflow", []string{"eval", "--checkpoint", huge}, []string{"bad checkpoint: " + huge + ": the loss is "}},
		{"weights that overflow in predict", []string{"predict", "--checkpoint", huge, "--json", at("a.png")}, []string{"bad checkpoint: " + huge + ": logit ", "of " + at("a.png") + " is "}},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := senet(c.args...)
			o.want(t, 3, c.want...)
			if o.out != "" {
				t.Errorf("stdout: %s", o.out)
			}
		})
	}
}

// hugeWeights saves the best checkpoint with a classifier so large that its sums leave float32's range.
func (f fixture) hugeWeights(t *testing.T, dir string) string {
	t.Helper()
	s, err := checkpoint.Load(f.best())
	if err != nil {
		t.Fatal(err)
	}
	weights := s.Model["fc.weight"].Data().([]float32)
	for i := range weights {
		weights[i] = 3e38
	}
	store, err := checkpoint.Open(dir, checkpoint.Keep{Newest: 1})
	if err != nil {
		t.Fatal(err)
	}
	path, err := store.Save(s, checkpoint.SaveAs{})
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// TestPredictPrintsWhatItHasFound: a file that is no image does not cost the results of those before it.
func TestPredictPrintsWhatItHasFound(t *testing.T) {
	f := newFixture(t)
	good := filepath.Join(t.TempDir(), "a.png")
	writePNG(t, good, picture(0, 0))
	o := senet("predict", "--checkpoint", f.best(), "--top", "1", good, f.config)
	o.want(t, 3, "bad data: "+f.config)
	if !strings.HasPrefix(o.out, good+"\n  ") || strings.Count(o.out, "\n") != 2 {
		t.Errorf("stdout: %s", o.out)
	}
}

// TestRefusedTrainingChangesNothing: a run's folder is as it was after a training without --resume.
func TestRefusedTrainingChangesNothing(t *testing.T) {
	f := newFixture(t)
	before := readFile(t, filepath.Join(f.run, "metrics.jsonl"))
	senet(f.train(f.run)...).want(t, 2, "folder in use", "--resume auto")
	if after := readFile(t, filepath.Join(f.run, "metrics.jsonl")); after != before {
		t.Errorf("metrics.jsonl had %d bytes, has %d", len(before), len(after))
	}
}

// TestChangedConfigIsRefusedKeyByKey: unless it is forced.
func TestChangedConfigIsRefusedKeyByKey(t *testing.T) {
	f := newFixture(t)
	before := readFile(t, filepath.Join(f.run, "metrics.jsonl"))
	changed := f.train(f.run, "--resume", "auto", "--set", "train.epochs=4", "--set", "train.seed=3", "--set", "data.augment.flip=true", "--set", "threads=2")
	o := senet(changed...)
	o.want(t, 2, "\n  data.augment.flip: was false, is true\n  train.seed: was 0, is 3\n  give back these values", "--force-config")
	if strings.Contains(o.err, "threads") {
		t.Errorf("stderr: %s", o.err)
	}
	if after := readFile(t, filepath.Join(f.run, "metrics.jsonl")); after != before {
		t.Errorf("metrics.jsonl had %d bytes, has %d", len(before), len(after))
	}
}

// crowded is a backend without room for any program.
type crowded struct{ backend.Backend }

func (b crowded) Compile(p *graph.Program) (backend.Executable, error) {
	m := graph.PlanMemory(p, (*graph.Value).Bytes)
	full := backend.NewOutOfMemory(p, m, (*graph.Value).Bytes)
	full.Free, full.Total = m.Peak()/2, m.Peak()
	return nil, full
}

// TestOutOfMemory: the message has what was asked for, what there is, what takes it and the batch that fits.
func TestOutOfMemory(t *testing.T) {
	f := newFixture(t)
	o := run(deps{open: func(o deviceOptions) (backend.Backend, string, error) {
		b, note, err := openDevice(o)
		return crowded{b}, note, err
	}}, f.train(filepath.Join(t.TempDir(), "run"))...)
	o.want(t, 1, "out of memory: ", " MiB asked for, ", "\n  planned: ", "\n  largest buffers: ", "(8, 16, 28, 28)", "\n  by estimate, train.batch_size ", " fits\n")
	if strings.Count(o.err, "MiB") != 3+4+5 {
		t.Errorf("want three sizes, four parts of the plan and five buffers:\n%s", o.err)
	}
}

// TestNoDevice: what asks for a GPU on a machine without one exits with 4 and says why; doctor has told what there is before.
func TestNoDevice(t *testing.T) {
	problem := cuda.Probe().Problem
	if problem == "" {
		t.Skip("this machine has a GPU")
	}
	f := newFixture(t)
	path := filepath.Join(t.TempDir(), "a.png")
	writePNG(t, path, picture(0, 0))
	for _, device := range []string{"cuda", "cuda:1"} {
		for _, args := range [][]string{
			f.train(filepath.Join(t.TempDir(), "run")),
			{"eval", "--checkpoint", f.best()},
			{"predict", "--checkpoint", f.best(), path},
			{"doctor"},
			{"doctor", "--json"},
		} {
			o := senet(append(args, "--device", device)...)
			o.want(t, 4, fmt.Sprintf("senet: device %q: no such device: %s\n", device, problem))
			if told := o.out != ""; told != (args[0] == "doctor") {
				t.Errorf("%s: stdout %q", args[0], o.out)
			}
		}
	}
}

// TestDivergence: a learning rate that makes the weights explode ends the training with 5.
func TestDivergence(t *testing.T) {
	f := newFixture(t)
	o := senet(f.train(filepath.Join(t.TempDir(), "run"), "--set", "train.lr=100", "--set", "train.weight_decay=1", "--set", "train.epochs=50")...)
	o.want(t, 5, "training diverged: ")
}

// lossy loses its device after some runs of a program's phases.
type lossy struct {
	backend.Backend
	runs *int // still to do
}

type lossyExecutable struct {
	backend.Executable
	runs *int
}

func (b lossy) Compile(p *graph.Program) (backend.Executable, error) {
	exe, err := b.Backend.Compile(p)
	return lossyExecutable{exe, b.runs}, err
}

func (e lossyExecutable) Run(ph graph.Phase) error {
	if *e.runs--; *e.runs < 0 {
		return fmt.Errorf("run: %w: bus error", backend.ErrDeviceLost)
	}
	return e.Executable.Run(ph)
}

func (e lossyExecutable) Read(v *graph.Value) (*tensor.Dense, error) {
	if *e.runs < 0 {
		return nil, fmt.Errorf("read %q: %w", v.Name, backend.ErrDeviceLost)
	}
	return e.Executable.Read(v)
}

// TestDeviceLost: whatever a command was at when the device went, it exits with 6 and saves nothing read from it.
func TestDeviceLost(t *testing.T) {
	f := newFixture(t)
	path := filepath.Join(t.TempDir(), "a.png")
	writePNG(t, path, picture(0, 0))
	dir := filepath.Join(t.TempDir(), "run")
	for _, c := range []struct {
		runs int // before the device is lost
		args []string
	}{
		{5, f.train(dir)},
		{17, f.train(dir)}, // 8 steps of two phases, then in the evaluation
		{0, []string{"eval", "--checkpoint", f.best()}},
		{2, []string{"eval", "--checkpoint", f.best(), "--json"}},
		{0, []string{"predict", "--checkpoint", f.best(), path}},
		{1, []string{"predict", "--checkpoint", f.best(), path}},
	} {
		runs := c.runs
		o := run(deps{open: func(o deviceOptions) (backend.Backend, string, error) {
			b, note, err := openDevice(o)
			return lossy{b, &runs}, note, err
		}}, c.args...)
		o.want(t, 6, "device lost")
		if runs != -1 {
			t.Errorf("%v: went on for %d runs after the device was lost", c.args, -1-runs)
		}
		if c.args[0] != "train" && o.out != "" {
			t.Errorf("stdout: %s", o.out)
		}
	}
	if found, err := checkpoint.Newest(dir); err != nil || found.Path != "" {
		t.Errorf("found %q, error %v, want no checkpoint", found.Path, err)
	}
}

// TestExitCodeOfErrorsThatWrapSeveral: a lost device comes before what may follow from it, and only a signal makes a stop a stop.
func TestExitCodeOfErrorsThatWrapSeveral(t *testing.T) {
	for _, c := range []struct {
		err  error
		sig  syscall.Signal
		want int
	}{
		{nil, 0, 0},
		{nil, syscall.SIGTERM, 0}, // it came too late to stop anything
		{errors.New("disk full"), 0, 1},
		{errors.New("disk full"), syscall.SIGTERM, 1},
		{fmt.Errorf("%w: %w", train.ErrDiverged, backend.ErrDeviceLost), 0, 6},
		{errors.Join(checkpoint.ErrBad, backend.ErrDeviceLost), 0, 6},
		{fmt.Errorf("epoch 1: %w", train.ErrStopped), syscall.SIGINT, 130},
		{fmt.Errorf("epoch 1: %w", train.ErrStopped), syscall.SIGTERM, 143},
		{fmt.Errorf("evaluate: %w", context.Canceled), syscall.SIGTERM, 143},
		{fmt.Errorf("evaluate: %w", context.Canceled), 0, 1},
	} {
		if got := exitCode(c.err, c.sig); got != c.want {
			t.Errorf("%v with signal %d: exit code %d, want %d", c.err, c.sig, got, c.want)
		}
	}
}
