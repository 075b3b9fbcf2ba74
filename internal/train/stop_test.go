package train

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"senet/internal/report"
)

func TestCancelledBeforeTheFirstStepSavesTheStart(t *testing.T) {
	b := openCPU(t, 1)
	s, r := smallRun(t, b, t.TempDir())
	want := unbroken(t, s, r)

	h := &history{dir: t.TempDir()}
	s, r = smallRun(t, b, h.dir)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r.onStart = func() error { cancel(); return nil }
	result, err := h.attempt(ctx, s, r)
	if !errors.Is(err, ErrStopped) || result != (Result{}) {
		t.Errorf("result %+v, error %v, want ErrStopped", result, err)
	}
	if !slices.Equal(r.order, []string{"start"}) {
		t.Errorf("events %v, want the start alone", r.order)
	}
	if m := loadCheckpoint(t, h.dir, "last").Manifest; m.GlobalStep != 0 || m.Val != nil || m.Best != nil || m.IsBest {
		t.Errorf("manifest %+v, want that of step 0", m)
	}
	s, r = smallRun(t, b, h.dir)
	s.Resume = ResumeAuto
	if result, err = h.attempt(t.Context(), s, r); err != nil {
		t.Fatal(err)
	}
	diff(t, h.outcome(t, result), want)
}

// TestCancelledWhileItStartsSavesNothing, whichever part of the start it is at.
func TestCancelledWhileItStartsSavesNothing(t *testing.T) {
	for compiled := range 3 { // programs, of two
		b := newSpy(t)
		ctx, cancel := context.WithCancel(t.Context())
		if compiled == 0 {
			cancel()
		}
		defer cancel()
		b.fault = func(c call) error {
			if c.name == "compile" && b.opened == compiled-1 {
				cancel()
			}
			return nil
		}
		dir := t.TempDir()
		s, r := smallRun(t, b, dir)
		if _, err := Run(ctx, s); !errors.Is(err, context.Canceled) || errors.Is(err, ErrStopped) {
			t.Errorf("error %v, want the context's", err)
		}
		if len(r.order) != 0 || len(entries(t, dir)) != 0 || b.opened != compiled {
			t.Errorf("events %v, folder %v, %d programs compiled; want %d and nothing else", r.order, entries(t, dir), b.opened, compiled)
		}
	}
}

func TestStopNamesWhatItSavedAndKeepsTheRest(t *testing.T) {
	dir := t.TempDir()
	s, r := smallRun(t, newSpy(t), dir, "output.keep_checkpoints=1")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	afterStep(7)(&s, r, cancel)
	result, err := Run(ctx, s)
	path := filepath.Join(dir, "step-00000007")
	if !errors.Is(err, ErrStopped) || !strings.Contains(err.Error(), "saved "+path) {
		t.Fatalf("error %v, want ErrStopped that names %s", err, path)
	}
	if n := len(r.steps); n != 7 || len(r.epochs) != 1 || len(r.summaries) != 0 {
		t.Errorf("events %v, want those of 7 steps and an epoch", r.order)
	}
	m := loadCheckpoint(t, path).Manifest
	if m.Epoch != 1 || m.Batch != 3 || m.GlobalStep != 7 || m.Sums.Images != 24 || m.Val != nil || m.IsBest {
		t.Errorf("manifest %+v, want step 3 of the second epoch", m)
	}
	if m.Best == nil || m.Best.Epoch != 1 || Score(m.Best.Score) != result.Best || result.BestEpoch != 1 {
		t.Errorf("manifest %+v, result %+v: want epoch 1 as the best", m, result)
	}
	if best := loadCheckpoint(t, result.Checkpoint).Manifest; best.Epoch != 1 || *best.Val != m.Best.Score {
		t.Errorf("the best link leads to %+v", best)
	}
	for link, want := range map[string]string{"last": path, "best": filepath.Join(dir, "epoch-0001")} {
		if have, err := filepath.EvalSymlinks(filepath.Join(dir, link)); err != nil || have != want {
			t.Errorf("%s leads to %s, want %s: %v", link, have, want, err)
		}
	}
}

// A scheduler must not take a run whose state could not be saved for one that it may go on with.
func TestStopThatCannotSaveIsNotErrStopped(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	s, r := smallRun(t, newSpy(t), dir)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r.onStep = func(report.Step) error {
		cancel()
		return errors.Join(os.RemoveAll(dir), os.WriteFile(dir, nil, 0o600))
	}
	_, err := Run(ctx, s)
	if err == nil || errors.Is(err, ErrStopped) || !strings.Contains(err.Error(), dir) {
		t.Errorf("error %v, want one about %s that is not ErrStopped", err, dir)
	}
}

// A stop right after an epoch, or right after a resume, finds its state on the disk already.
func TestStopSavesNoPositionTwice(t *testing.T) {
	b, dir := newSpy(t), t.TempDir()
	for i, breaks := range []interruption{afterEpoch(2), func(_ *Setup, r *recorder, cancel func()) {
		r.onStart = func() error { cancel(); return nil }
	}} {
		s, r := smallRun(t, b, dir)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		breaks(&s, r, cancel)
		s.Resume = ResumeAuto
		if _, err := Run(ctx, s); !errors.Is(err, ErrStopped) || !strings.Contains(err.Error(), "saved "+filepath.Join(dir, "epoch-0002")) {
			t.Errorf("attempt %d: error %v, want ErrStopped that names epoch-0002", i+1, err)
		}
	}
	if list := entries(t, dir); len(list) != 4 { // two epochs, last and best
		t.Errorf("the folder holds %v", list)
	}
	s, r := smallRun(t, b, t.TempDir()) // in another folder that one is not found by --resume auto
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r.onStart = func() error { cancel(); return nil }
	s.Resume = filepath.Join(dir, "epoch-0002")
	if _, err := Run(ctx, s); !errors.Is(err, ErrStopped) || !strings.Contains(err.Error(), "saved "+s.Config.Output.Dir) {
		t.Errorf("error %v, want ErrStopped that names a checkpoint of %s", err, s.Config.Output.Dir)
	}
}

// TestStuckLoaderDoesNotHoldUpTheStop: the state is saved and Run returns although reads of the data set never end.
func TestStuckLoaderDoesNotHoldUpTheStop(t *testing.T) {
	for _, where := range []string{"training", "precise batch norm", "evaluation"} {
		t.Run(where, func(t *testing.T) {
			s, r := smallRun(t, newSpy(t), t.TempDir(), "train.epochs=2", "train.precise_bn=2")
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			release := make(chan struct{})
			t.Cleanup(func() { close(release) })
			stuck := func(int) {
				time.AfterFunc(50*time.Millisecond, cancel)
				<-release
			}
			steps := 4
			switch where {
			case "training":
				s.Train.(*stripes).read, steps = stuck, 0
			case "precise batch norm":
				var reads atomic.Int32
				s.Train.(*stripes).read = func(i int) {
					if reads.Add(1) > 4*8 { // those of the epoch
						stuck(i)
					}
				}
			default:
				s.Val.(*stripes).read = stuck
			}
			start := time.Now()
			if _, err := Run(ctx, s); !errors.Is(err, ErrStopped) {
				t.Errorf("error %v, want ErrStopped", err)
			}
			if took := time.Since(start); took > 10*time.Second {
				t.Errorf("took %v", took)
			}
			if m := loadCheckpoint(t, s.Config.Output.Dir, "last").Manifest; m.GlobalStep != steps || len(r.steps) != steps {
				t.Errorf("saved step %d after %d, want %d", m.GlobalStep, len(r.steps), steps)
			}
		})
	}
}

// TestSlowCompilationDoesNotHoldUpTheStop: at the start there is nothing to save; between two sizes of images there is nothing new.
func TestSlowCompilationDoesNotHoldUpTheStop(t *testing.T) {
	for compiled, want := range []error{context.Canceled, context.Canceled, context.Canceled, ErrStopped} { // for 8 pixels, evaluation, 6 and 7 pixels
		b, dir := newSpy(t), t.TempDir()
		ctx, cancel := context.WithCancel(t.Context())
		release, released := make(chan struct{}), make(chan struct{})
		opened := 0
		b.fault = func(c call) error {
			if c.name != "compile" {
				return nil
			}
			if opened++; opened <= compiled {
				return nil
			}
			defer close(released)
			time.AfterFunc(50*time.Millisecond, cancel)
			<-release
			return errors.New("too late")
		}
		s, r := smallRun(t, b, dir, append(growing, "train.epochs=5")...)
		start := time.Now()
		_, err := Run(ctx, s)
		if took := time.Since(start); !errors.Is(err, want) || took > 10*time.Second {
			t.Errorf("after %d programs: error %v after %v, want %v", compiled, err, took, want)
		}
		close(release)
		<-released
		b.closed = b.opened // those that were left to the end of the process
		if want == ErrStopped {
			if m := loadCheckpoint(t, dir, "last").Manifest; m.Epoch != 2 || len(r.epochs) != 2 {
				t.Errorf("saved %+v after %v", m, r.order)
			}
		} else if len(r.order) != 0 {
			t.Errorf("after %d programs: events %v", compiled, r.order)
		}
		cancel()
	}
}

func TestSinkErrorsComeBackWithTheirPlace(t *testing.T) {
	b, broken := newSpy(t), errors.New("disk full")
	for _, c := range []struct {
		name, want string
		set        func(*recorder)
	}{
		{"start", "disk full", func(r *recorder) { r.onStart = func() error { return broken } }},
		{"step", "epoch 2: step 3: disk full", func(r *recorder) {
			r.onStep = func(x report.Step) error {
				if x.GlobalStep == 7 {
					return broken
				}
				return nil
			}
		}},
		{"epoch", "epoch 1: disk full", func(r *recorder) { r.onEpoch = func(report.Epoch) error { return broken } }},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, r := smallRun(t, b, t.TempDir())
			c.set(r)
			if _, err := Run(t.Context(), s); !errors.Is(err, broken) || err.Error() != c.want {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

func TestSourceErrorsComeBackWithTheirPlace(t *testing.T) {
	b, broken := newSpy(t), errors.New("unreadable")
	s, _ := smallRun(t, b, t.TempDir())
	s.Train = &stripes{n: 34, fail: map[int]error{}}
	for i := range 34 {
		s.Train.(*stripes).fail[i] = broken
	}
	if _, err := Run(t.Context(), s); !errors.Is(err, broken) || !strings.HasPrefix(err.Error(), "epoch 1: step 1: ") {
		t.Errorf("training images: error %v", err)
	}
	s, _ = smallRun(t, b, t.TempDir())
	s.Val = &stripes{n: valImages, fail: map[int]error{valImages - 1: broken}}
	if _, err := Run(t.Context(), s); !errors.Is(err, broken) || !strings.HasPrefix(err.Error(), "epoch 1: evaluate: ") {
		t.Errorf("test images: error %v", err)
	}
}
