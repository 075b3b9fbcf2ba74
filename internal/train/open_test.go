package train

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"gorgonia.org/tensor"

	"senet/internal/backend"
	"senet/internal/checkpoint"
	"senet/internal/config"
	"senet/internal/data"
	"senet/internal/model"
)

// finished trains a small run into a new folder.
func finished(t *testing.T, b *spy, sets ...string) (dir string, o outcome) {
	t.Helper()
	dir = t.TempDir()
	s, r := smallRun(t, b, dir, sets...)
	return dir, unbroken(t, s, r)
}

// damage flips a bit in the middle of a file.
func damage(t *testing.T, elem ...string) {
	t.Helper()
	name := filepath.Join(elem...)
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	text[len(text)/2] ^= 1
	if err := os.WriteFile(name, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// entries are the names in a folder with the time of their last change.
func entries(t *testing.T, dir string) map[string]time.Time {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	m := map[string]time.Time{}
	for _, e := range list {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		m[e.Name()] = info.ModTime()
	}
	return m
}

func TestFolderThatHoldsARunIsTaken(t *testing.T) {
	b := newSpy(t)
	dir, _ := finished(t, b, "train.epochs=1")
	other, _ := finished(t, b, "train.epochs=2")
	before := entries(t, dir)
	taken := func(name, resume string) {
		t.Helper()
		s, r := smallRun(t, b, dir)
		s.Resume = resume
		if _, err := Run(t.Context(), s); !errors.Is(err, ErrTaken) || !strings.Contains(err.Error(), dir) || len(r.order) != 0 {
			t.Errorf("%s: error %v, events %v, want ErrTaken that names %s", name, err, r.order, dir)
		}
		if after := entries(t, dir); !maps.Equal(after, before) {
			t.Errorf("%s: the folder held %v and now %v", name, before, after)
		}
	}
	taken("a new run", "")
	taken("a run of another folder", filepath.Join(other, "epoch-0001"))
	damage(t, dir, "epoch-0001", "model.safetensors")
	taken("a new run where all is damaged", "")
}

// TestSpaceForTwoCheckpointsIsLookedForAtTheStart in a folder of a file system that never has any; what is asked for is the size of
// the tensors that a checkpoint then has.
func TestSpaceForTwoCheckpointsIsLookedForAtTheStart(t *testing.T) {
	const full = "/dev/pts"
	var fs unix.Statfs_t
	if err := unix.Statfs(full, &fs); err != nil || fs.Bavail != 0 {
		t.Skipf("%s is not the file system of terminals: %d blocks, error %v", full, fs.Bavail, err)
	}
	sets := []string{"train.epochs=1", "train.optimizer=adamw", "train.ema_decay=0.9", "train.accumulate=2"}
	b := newSpy(t)
	dir, _ := finished(t, b, sets...)
	bytes := 0
	for _, ts := range []Tensors{loadCheckpoint(t, dir, "last").Model, loadCheckpoint(t, dir, "last").Optimizer} {
		for _, x := range ts {
			bytes += 4 * x.Shape().TotalSize()
		}
	}
	want := fmt.Sprintf("0.0 MiB are free, want %.1f MiB, twice the", float64(2*bytes)/(1<<20))
	s, r := smallRun(t, b, full, sets...)
	if _, err := Run(t.Context(), s); !errors.Is(err, checkpoint.ErrNoSpace) || !strings.Contains(err.Error(), want) || len(r.order) != 0 {
		t.Errorf("error %v, events %v, want ErrNoSpace that says %q", err, r.order, want)
	}
}

// What cannot be read is not taken to be in use: choosing another folder need not help.
func TestUnreadableFolderIsNotTaken(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s, _ := smallRun(t, newSpy(t), file)
	if _, err := Run(t.Context(), s); err == nil || errors.Is(err, ErrTaken) || !strings.Contains(err.Error(), file) {
		t.Errorf("error %v, want one about %s that is not ErrTaken", err, file)
	}
}

func TestResumeAutoOnAnEmptyFolderStartsAnew(t *testing.T) {
	b := newSpy(t)
	_, want := finished(t, b, "train.epochs=1")
	for _, dir := range []string{t.TempDir(), filepath.Join(t.TempDir(), "not", "there")} {
		s, r := smallRun(t, b, dir, "train.epochs=1")
		s.Resume = ResumeAuto
		diff(t, unbroken(t, s, r), want)
		if len(r.notes) != 0 || r.runs[0].StartStep != 0 {
			t.Errorf("notes %q, start %+v, want a new run", r.notes, r.runs[0])
		}
	}
}

func TestResumeAutoPassesOverDamagedCheckpoints(t *testing.T) {
	b := newSpy(t)
	dir, want := finished(t, b)
	damage(t, dir, "epoch-0003", "optimizer.safetensors")
	s, r := smallRun(t, b, dir)
	s.Resume = ResumeAuto
	result, err := Run(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.notes) != 2 || !strings.Contains(r.notes[0], "damaged") || !strings.Contains(r.notes[0], filepath.Join("epoch-0003", "optimizer.safetensors")) ||
		!strings.Contains(r.notes[1], filepath.Join(dir, "epoch-0002")+" after 2 epochs") {
		t.Errorf("notes %q, want the damaged and the resumed checkpoint", r.notes)
	}
	if result.Best != want.result.Best || result.BestEpoch != want.result.BestEpoch {
		t.Errorf("result %+v, want %+v", result, want.result)
	}
	again := loadCheckpoint(t, dir, "last")
	diffTensors(t, "model", again.Model, want.end.Model)
	diffTensors(t, "optimizer", again.Optimizer, want.end.Optimizer)

	for _, name := range []string{"epoch-0001", "epoch-0002", "epoch-0003.2"} {
		damage(t, dir, name, "manifest.json")
	}
	s, r = smallRun(t, b, dir)
	s.Resume = ResumeAuto
	if _, err := Run(t.Context(), s); !errors.Is(err, checkpoint.ErrBad) || len(r.notes) != 4 || len(r.order) != 0 {
		t.Errorf("error %v, notes %q, want ErrBad after four damaged checkpoints", err, r.notes)
	}
}

func TestResumeFromAnOlderCheckpointOfTheFolder(t *testing.T) {
	b := newSpy(t)
	dir, want := finished(t, b)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(filepath.Join(dir, "epoch-0001"), link); err != nil {
		t.Fatal(err)
	}
	s, _ := smallRun(t, b, dir)
	s.Resume = link
	if _, err := Run(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	have := loadCheckpoint(t, dir, "last")
	diffTensors(t, "model", have.Model, want.end.Model)
	diffTensors(t, "optimizer", have.Optimizer, want.end.Optimizer)
}

func TestCheckpointOfAnotherRunIsRefused(t *testing.T) {
	b := newSpy(t)
	dir := t.TempDir()
	h := &history{dir: dir}
	s, r := smallRun(t, b, dir)
	interrupted(t, h, s, r, afterStep(2)) // within the first epoch: 2 steps of 16 images would end it
	early := filepath.Join(dir, "step-00000002")
	done, _ := finished(t, b)
	late := filepath.Join(done, "epoch-0001")
	before := entries(t, done)
	for _, c := range []struct {
		name, from string
		set        string
		images     int
		force      bool
		want       []string
	}{
		{"a key", late, "train.lr=0.06", 34, false, []string{"train.lr: was 0.05, is 0.06", "--force-config"}},
		{"a list", late, "data.mean=[0.5]", 34, false, []string{"data.mean: was [0.45], is [0.5]"}},
		{"model", late, "model.name=resnet20_cifar", 34, true, []string{"seresnet20_cifar", "model.name: resnet20_cifar"}},
		{"batch size, first epoch", early, "train.batch_size=16", 34, true, []string{"train.batch_size 8", "16 cannot end"}},
		{"data set", late, "train.batch_size=8", 40, false, []string{"5 steps an epoch", "number of training images"}},
		{"classes", late, "model.classes=4", 34, true, []string{`"fc.weight": want (4, 64), file has (3, 64)`, `"fc.bias"`, `"fc.weight.momentum"`, `"fc.bias.momentum"`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, r := smallRun(t, b, t.TempDir(), c.set)
			s.Train, s.Resume, s.ForceConfig = &stripes{n: c.images}, c.from, c.force
			_, err := Run(t.Context(), s)
			kind := checkpoint.ErrBad
			if len(c.want) > 0 && strings.Contains(c.want[0], ": was ") {
				kind = ErrChanged
			}
			if !errors.Is(err, kind) || len(r.order) != 0 {
				t.Fatalf("error %v, events %v, want %v", err, r.order, kind)
			}
			for _, want := range append(c.want, c.from) {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %v, want it to name %q", err, want)
				}
			}
		})
	}
	if after := entries(t, done); !maps.Equal(after, before) {
		t.Errorf("the refused checkpoint's folder held %v and now %v", before, after)
	}
	s, _ = smallRun(t, b, t.TempDir())
	s.Resume = filepath.Join(done, "epoch-0009")
	if _, err := Run(t.Context(), s); !errors.Is(err, checkpoint.ErrBad) || !strings.Contains(err.Error(), "epoch-0009") {
		t.Errorf("a checkpoint that is not there: error %v, want ErrBad", err)
	}
}

// renamed is a data set of the same pictures under other names.
type renamed struct{ data.Source }

func (renamed) Classes() []string { return []string{"horizontal", "vertical", "plain"} }

func TestClassesOfAnotherOrderAreRefused(t *testing.T) {
	b := newSpy(t)
	dir, _ := finished(t, b)
	s, _ := smallRun(t, b, dir)
	s.Train, s.Resume = renamed{s.Train}, ResumeAuto
	if _, err := Run(t.Context(), s); !errors.Is(err, ErrChanged) || !strings.Contains(err.Error(), `were 3, ["vertical" "horizontal" "plain"], are 3, ["horizontal"`) {
		t.Errorf("error %v, want ErrChanged that names the classes", err)
	}
}

// Between two epochs even their length may change, where that is forced; the user is told of every change.
func TestForceConfigGoesOnWithTheNewConfig(t *testing.T) {
	b := newSpy(t)
	dir, _ := finished(t, b, "train.epochs=2")
	s, r := smallRun(t, b, dir, "train.batch_size=16", "train.lr=0.01")
	s.Resume, s.ForceConfig = filepath.Join(dir, "epoch-0001"), true
	if _, err := Run(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	want := "resuming a run that was begun otherwise:\ntrain.epochs: was 2, is 3\ntrain.batch_size: was 8, is 16\ntrain.lr: was 0.05, is 0.01"
	if len(r.notes) != 2 || r.notes[0] != want {
		t.Errorf("notes %q, want %q and what is resumed", r.notes, want)
	}
	if len(r.steps) != 4 || r.steps[0].GlobalStep != 3 || !(r.steps[0].LR <= 0.01) {
		t.Errorf("steps %+v, want two epochs of two", r.steps)
	}
	m := loadCheckpoint(t, dir, "last").Manifest
	if m.GlobalStep != 6 || !strings.Contains(m.Config, "batch_size: 16") {
		t.Errorf("manifest %+v, want step 6 and the new config", m)
	}
}

// elsewhere is another device.
type elsewhere struct{ backend.Backend }

func (elsewhere) Describe() string { return "a newer machine" }

func TestResumeElsewhereIsTold(t *testing.T) {
	b := newSpy(t)
	dir, _ := finished(t, b)
	s, r := smallRun(t, elsewhere{b}, dir)
	s.Resume = ResumeAuto
	if _, err := Run(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if len(r.notes) != 2 || !strings.Contains(r.notes[1], b.Describe()) || !strings.Contains(r.notes[1], "goes on on a newer machine") {
		t.Errorf("notes %q, want both machines", r.notes)
	}
}

func TestTensorsThatDoNotFitAreAllListed(t *testing.T) {
	b := newSpy(t)
	dir, _ := finished(t, b)
	state := loadCheckpoint(t, dir, "last")
	for _, part := range []struct {
		ts     Tensors
		suffix string
	}{{state.Model, ""}, {state.Optimizer, ".momentum"}} {
		delete(part.ts, "bn1.weight"+part.suffix)
		part.ts["stray"+part.suffix] = tensor.New(tensor.WithShape(2), tensor.Of(tensor.Float32))
		part.ts["fc.bias"+part.suffix] = tensor.New(tensor.WithShape(5), tensor.Of(tensor.Float32))
	}
	store, err := checkpoint.Open(t.TempDir(), checkpoint.Keep{Newest: 1})
	if err != nil {
		t.Fatal(err)
	}
	s, _ := smallRun(t, b, t.TempDir())
	if s.Resume, err = store.Save(state, checkpoint.SaveAs{}); err != nil {
		t.Fatal(err)
	}
	_, err = Run(t.Context(), s)
	if !errors.Is(err, checkpoint.ErrBad) {
		t.Fatalf("error %v, want ErrBad", err)
	}
	for _, suffix := range []string{"", ".momentum"} {
		for _, want := range []string{
			fmt.Sprintf(`tensor "bn1.weight%s" is missing, want (16)`, suffix),
			fmt.Sprintf(`"fc.bias%s": want (3), file has (5)`, suffix),
			fmt.Sprintf(`tensor "stray%s" (2) is not part of the network`, suffix),
		} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("error %v, want it to say %s", err, want)
			}
		}
	}
}

func TestCheckpointWithUnreadableConfigIsRefused(t *testing.T) {
	b := newSpy(t)
	dir, _ := finished(t, b, "train.epochs=1")
	state := loadCheckpoint(t, dir, "last")
	state.Manifest.Config = "train: {batch_sice: 8}"
	store, err := checkpoint.Open(t.TempDir(), checkpoint.Keep{Newest: 1})
	if err != nil {
		t.Fatal(err)
	}
	s, _ := smallRun(t, b, t.TempDir())
	if s.Resume, err = store.Save(state, checkpoint.SaveAs{}); err != nil {
		t.Fatal(err)
	}
	// Not config.ErrConfig: that is for the config that the user gave.
	if _, err := Run(t.Context(), s); !errors.Is(err, checkpoint.ErrBad) || errors.Is(err, config.ErrConfig) || !strings.Contains(err.Error(), "batch_sice") {
		t.Errorf("error %v, want ErrBad that names the unknown key", err)
	}
}

func TestRunThatCannotBeSetUpIsRefused(t *testing.T) {
	b := newSpy(t)
	s, _ := smallRun(t, b, t.TempDir(), "model.name=vgg16")
	if _, err := Run(t.Context(), s); !errors.Is(err, model.ErrUnknown) {
		t.Errorf("unknown model: error %v, want model.ErrUnknown", err)
	}
	s, _ = smallRun(t, b, t.TempDir())
	s.Train = &stripes{n: 7}
	if _, err := Run(t.Context(), s); !errors.Is(err, data.ErrBadData) || !strings.HasPrefix(err.Error(), "training images: ") {
		t.Errorf("too few training images: error %v, want data.ErrBadData", err)
	}
	s, _ = smallRun(t, b, t.TempDir())
	s.Val = &stripes{}
	if _, err := Run(t.Context(), s); !errors.Is(err, data.ErrBadData) || !strings.HasPrefix(err.Error(), "test images: ") {
		t.Errorf("no test images: error %v, want data.ErrBadData", err)
	}
}
