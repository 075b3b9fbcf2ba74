package train

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"gorgonia.org/tensor"

	"senet/internal/graph"
	"senet/internal/report"
)

// spoiler makes the loss or the gradients' norm x in some steps.
type spoiler struct {
	x     float64
	norm  bool // the norm, not the loss
	steps []int
}

func (p spoiler) alter(c call, t *tensor.Dense) {
	v := c.program.Loss
	if p.norm {
		v = c.program.GradNorm
	}
	if c.training() && c.value == v && slices.Contains(p.steps, c.step) {
		t.Float32s()[0] = float32(p.x)
	}
}

// watch notes the phases that run, and the persistent values, momenta included, as they stand when a training step begins.
type watch struct {
	t       *testing.T
	updates []int            // steps whose Update ran
	before  map[int]snapshot // by step; that of one past the last is taken when the program is closed
	steps   int
}

type snapshot map[string][]float32

func (w *watch) see(c call) error {
	switch {
	case c.training() && c.name == "run" && c.phase == graph.Update:
		w.updates = append(w.updates, c.step)
	case c.training() && c.name == "run" && c.phase == graph.Step:
		w.before[c.step], w.steps = w.take(c), c.step
	case c.training() && c.name == "close":
		w.before[w.steps+1] = w.take(c)
	}
	return nil
}

func (w *watch) take(c call) snapshot {
	s := snapshot{}
	for _, v := range c.program.Persistent() {
		x, err := c.exe.Read(v)
		if err != nil {
			w.t.Fatal(err)
		}
		s[v.Name] = x.Float32s()
	}
	return s
}

// changed counts the values that a step changed.
func (w *watch) changed(step int) int {
	n := 0
	for name, x := range w.before[step] {
		if !slices.EqualFunc(x, w.before[step+1][name], sameBits) {
			n++
		}
	}
	return n
}

func TestStepThatIsNotFiniteIsSkipped(t *testing.T) {
	b := newSpy(t)
	bad := []int{1, 4, 6} // the first of all, the last of an epoch, one within
	for _, norm := range []bool{false, true} {
		for _, x := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
			t.Run(fmt.Sprintf("norm %v, %v", norm, x), func(t *testing.T) {
				w := &watch{t: t, before: map[int]snapshot{}}
				b.alter, b.fault, b.step = spoiler{x, norm, bad}.alter, w.see, 0
				dir := t.TempDir()
				s, r := smallRun(t, b, dir, "train.epochs=2", "train.warmup_epochs=0")
				result, err := Run(t.Context(), s)
				if err != nil {
					t.Fatal(err)
				}
				if want := []int{2, 3, 5, 7, 8}; !slices.Equal(w.updates, want) {
					t.Errorf("updates ran in steps %v, want %v", w.updates, want)
				}
				checkSkipped(t, w, r, bad)
				if m := loadCheckpoint(t, dir, "last").Manifest; result.BadSteps != 3 || m.BadSteps != 3 {
					t.Errorf("%d bad steps, the manifest has %d, want 3", result.BadSteps, m.BadSteps)
				}
			})
		}
	}
}

func checkSkipped(t *testing.T, w *watch, r *recorder, bad []int) {
	t.Helper()
	loss := map[int]float64{} // sum over the good steps of an epoch
	for i, x := range r.steps {
		step, changed := i+1, w.changed(i+1)
		if x.GlobalStep != step {
			t.Errorf("event %+v, want step %d", x, step)
		}
		if slices.Contains(bad, step) {
			if changed != 0 || !math.IsNaN(x.Loss) {
				t.Errorf("step %d: %d values changed, event %+v, want it skipped", step, changed, x)
			}
			continue
		}
		if all := len(w.before[step]); changed < all/2 || !finite(x.Loss) { // zero-initialised branches keep some gradients at 0
			t.Errorf("step %d: %d of %d values changed, event %+v, want it applied", step, changed, all, x)
		}
		loss[x.Epoch] += x.Loss
	}
	good := map[int]float64{1: 2, 2: 3}
	for _, x := range r.epochs {
		if want := loss[x.Epoch] / good[x.Epoch]; !(math.Abs(x.TrainLoss-want) <= 1e-9) {
			t.Errorf("epoch %d: training loss %v, want %v, the mean of the applied steps", x.Epoch, x.TrainLoss, want)
		}
	}
}

func TestOnlyBadStepsInARowDiverge(t *testing.T) {
	b := newSpy(t)
	for _, c := range []struct {
		name     string
		bad      []int
		diverged string // where; "" if it does not
		want     int    // bad steps
	}{
		{"one fewer than the limit", steps(2, 10), "", 9},
		{"the limit", steps(2, 11), "epoch 3: step 3: ", 10},
		{"from the first", steps(1, 10), "epoch 3: step 2: ", 10},
		{"a good step between", slices.Concat(steps(1, 9), steps(11, 12)), "", 11},
		{"the last is good", steps(3, 11), "", 9},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := &watch{t: t, before: map[int]snapshot{}}
			b.alter, b.fault = spoiler{x: math.NaN(), steps: c.bad}.alter, w.see
			dir := t.TempDir()
			s, r := smallRun(t, b, dir)
			result, err := Run(t.Context(), s)
			if c.diverged == "" && err != nil || c.diverged != "" && (!errors.Is(err, ErrDiverged) || !strings.HasPrefix(err.Error(), c.diverged)) {
				t.Fatalf("error %v, want divergence at %q", err, c.diverged)
			}
			if result.BadSteps != c.want {
				t.Errorf("%d bad steps, want %d", result.BadSteps, c.want)
			}
			if c.diverged == "" {
				return
			}
			if len(r.summaries) != 0 || len(r.epochs) != 2 || result.BestEpoch == 0 {
				t.Errorf("events %v, result %+v, want two epochs and no end", r.order, result)
			}
			if m := loadCheckpoint(t, dir, "last").Manifest; m.Epoch != 2 || m.BadSteps != len(slices.DeleteFunc(slices.Clone(c.bad), func(x int) bool { return x > 8 })) {
				t.Errorf("the last checkpoint is %+v, want that of epoch 2", m)
			}
		})
	}
}

// steps are first to last.
func steps(first, last int) []int {
	var s []int
	for i := first; i <= last; i++ {
		s = append(s, i)
	}
	return s
}

func TestEpochOfSkippedStepsHasNoTrainingMetrics(t *testing.T) {
	b := newSpy(t)
	b.alter = spoiler{x: math.NaN(), steps: steps(5, 8)}.alter
	s, r := smallRun(t, b, t.TempDir())
	if _, err := Run(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if x := r.epochs[1]; !math.IsNaN(x.TrainLoss) || !math.IsNaN(x.TrainTop1) || x.ValLoss != r.epochs[0].ValLoss {
		t.Errorf("epoch %+v, want NaN in training and the evaluation of the epoch before, %v", x, r.epochs[0].ValLoss)
	}
}

func TestBadStepsSurviveAResume(t *testing.T) {
	b := newSpy(t)
	b.alter = spoiler{x: math.NaN(), steps: []int{2, 7}}.alter
	s, r := smallRun(t, b, t.TempDir())
	want := unbroken(t, s, r)
	h := &history{dir: t.TempDir()}
	s, r = smallRun(t, b, h.dir)
	interrupted(t, h, s, r, afterStep(3))
	s, r = smallRun(t, b, h.dir)
	s.Resume = ResumeAuto
	result, err := h.attempt(t.Context(), s, r)
	if err != nil {
		t.Fatal(err)
	}
	have := h.outcome(t, result)
	for _, o := range []outcome{have, want} { // NaN is not equal to itself
		for i, x := range o.steps {
			if math.IsNaN(x.Loss) && (x.GlobalStep == 2 || x.GlobalStep == 7) {
				o.steps[i] = report.Step{GlobalStep: x.GlobalStep}
			}
		}
	}
	diff(t, have, want)
	if result.BadSteps != 2 {
		t.Errorf("%d bad steps, want 2", result.BadSteps)
	}
}

// A stop does not give a run that diverges another ten steps.
func TestBadStepsInARowSurviveAResume(t *testing.T) {
	b := newSpy(t)
	b.alter = spoiler{x: math.NaN(), steps: steps(1, 10)}.alter
	h := &history{dir: t.TempDir()}
	s, r := smallRun(t, b, h.dir)
	interrupted(t, h, s, r, afterStep(7))
	if m := loadCheckpoint(t, h.dir, "last").Manifest; m.BadInARow != 7 || m.BadSteps != 7 {
		t.Errorf("the manifest has %d bad steps, %d in a row, want 7", m.BadSteps, m.BadInARow)
	}
	s, _ = smallRun(t, b, h.dir)
	s.Resume = ResumeAuto
	if _, err := Run(t.Context(), s); !errors.Is(err, ErrDiverged) || !strings.HasPrefix(err.Error(), "epoch 3: step 2: ") {
		t.Errorf("error %v, want divergence in the tenth step", err)
	}
}

func TestEvaluationThatIsNotFiniteDivergesAndLeavesTheCheckpoints(t *testing.T) {
	for _, x := range []float64{math.NaN(), math.Inf(1)} {
		t.Run(fmt.Sprint(x), func(t *testing.T) {
			b, dir := newSpy(t), t.TempDir()
			b.alter = func(c call, read *tensor.Dense) {
				if !c.training() && c.value == c.program.Loss && c.step == 8 {
					read.Float32s()[0] = float32(x)
				}
			}
			s, r := smallRun(t, b, dir)
			result, err := Run(t.Context(), s)
			if !errors.Is(err, ErrDiverged) || !strings.HasPrefix(err.Error(), "epoch 2: ") {
				t.Errorf("error %v, want ErrDiverged in epoch 2", err)
			}
			if len(r.epochs) != 1 || len(r.summaries) != 0 || result.BestEpoch != 1 {
				t.Errorf("events %v, result %+v, want one epoch", r.order, result)
			}
			links := map[string]int{}
			for _, name := range []string{"last", "best", "epoch-0001"} {
				links[name] = loadCheckpoint(t, dir, name).Manifest.Serial
			}
			if want := map[string]int{"last": 1, "best": 1, "epoch-0001": 1}; !maps.Equal(links, want) {
				t.Errorf("checkpoints %v, want the first alone", links)
			}
		})
	}
}
