package train

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"senet/internal/report"
)

func TestCancelledBeforeTheFirstStepSavesTheStart(t *testing.T) {
	b := openCPU(t, 1)
	s, r := smallRun(t, b, t.TempDir())
	want := unbroken(t, s, r)

	h := &history{dir: t.TempDir()}
	s, r = smallRun(t, b, h.dir)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
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
