package train

import (
	"errors"
	"math"
	"slices"
	"testing"

	"senet/internal/checkpoint"
	"senet/internal/graph"
)

const scaled = "precision=fp16" // the CPU backend does not look at it, the loop does

func TestLossScaleGrowsAndShrinksWithinItsLimits(t *testing.T) {
	s := lossScale{factor: firstLossScale}
	good := func(n int) {
		for range n {
			s.grow()
		}
	}
	good(growAfter - 1)
	if s.factor != 65536 {
		t.Errorf("%v after %d good steps, want 65536", s.factor, growAfter-1)
	}
	if !s.shrink() || s.factor != 32768 {
		t.Errorf("%v after a bad step, want 32768", s.factor)
	}
	good(growAfter - 1) // the count began anew
	if s.factor != 32768 {
		t.Errorf("%v before the row is full", s.factor)
	}
	good(1)
	if s.factor != 65536 {
		t.Errorf("%v after %d good steps in a row, want 65536", s.factor, growAfter)
	}
	good(100 * growAfter)
	if s.factor != 1<<24 {
		t.Errorf("%v in the end, want 2^24", s.factor)
	}
	for i := range 24 {
		if !s.shrink() {
			t.Fatalf("%v cannot shrink after %d times", s.factor, i)
		}
	}
	if s.factor != 1 || s.shrink() || s.factor != 1 {
		t.Errorf("%v at last, want 1 that does not shrink", s.factor)
	}
}

// A power of two as the scale changes no bit of the weights, and other precisions have none.
func TestLossScaleLeavesTheUpdateAsItIs(t *testing.T) {
	b := newSpy(t)
	programs := 0
	b.fault = func(c call) error {
		if c.name == "compile" && c.training() {
			programs++
			if (c.program.LossScale != nil) != (programs == 1) {
				t.Errorf("program %d has the loss scale %v", programs, c.program.LossScale)
			}
		}
		return nil
	}
	s, r := smallRun(t, b, t.TempDir(), scaled)
	have := unbroken(t, s, r)
	s, r = smallRun(t, b, t.TempDir())
	want := unbroken(t, s, r)
	if scale := have.end.Manifest.LossScale; scale == nil || *scale != (checkpoint.LossScale{Factor: 65536, GoodSteps: 12}) {
		t.Errorf("the manifest has the scale %v", scale)
	}
	if want.end.Manifest.LossScale != nil {
		t.Error("a run in float32 has a loss scale")
	}
	for i := range have.steps {
		have.steps[i].LossScale = 0
	}
	if !slices.Equal(have.steps, want.steps) {
		t.Errorf("steps %+v\nwant %+v", have.steps, want.steps)
	}
	diffTensors(t, "model", have.end.Model, want.end.Model)
	diffTensors(t, "optimizer", have.end.Optimizer, want.end.Optimizer)
}

// The third step's gradients overflow at the first two scales that it is met with.
func TestOverflowHalvesTheScaleAndIsNoBadStep(t *testing.T) {
	b := newSpy(t)
	var fed []float32
	b.fault = func(c call) error {
		if c.name == "write" && c.training() && c.value == c.program.LossScale {
			fed = append(fed, c.host.Float32s()[0])
		}
		return nil
	}
	b.alter = spoiler{x: math.Inf(1), norm: true, steps: []int{3, 4}}.alter
	s, r := smallRun(t, b, t.TempDir(), scaled, "train.epochs=2")
	want := unbroken(t, s, r)
	if scales := []float32{65536, 65536, 65536, 32768, 16384, 16384, 16384, 16384}; !slices.Equal(fed, scales) {
		t.Errorf("scales %v, want %v", fed, scales)
	}
	if want.result.BadSteps != 0 || *want.end.Manifest.LossScale != (checkpoint.LossScale{Factor: 16384, GoodSteps: 4}) {
		t.Errorf("%d bad steps, scale %+v", want.result.BadSteps, *want.end.Manifest.LossScale)
	}
	for i, x := range r.steps {
		if math.IsNaN(x.Loss) != (i == 2 || i == 3) {
			t.Errorf("step %d: loss %v", i+1, x.Loss)
		}
	}

	h := &history{dir: t.TempDir()}
	s, r = smallRun(t, b, h.dir, scaled, "train.epochs=2")
	interrupted(t, h, s, r, afterStep(5))
	s, r = smallRun(t, b, h.dir, scaled, "train.epochs=2")
	s.Resume = ResumeAuto
	result, err := h.attempt(t.Context(), s, r)
	if err != nil {
		t.Fatal(err)
	}
	have := h.outcome(t, result)
	for _, o := range []outcome{have, want} { // NaN is not equal to itself
		o.steps[2].Loss, o.steps[3].Loss = 0, 0
	}
	diff(t, have, want)
}

// A loss that is NaN whatever the scale ends the run: 16 halvings, then as without a scale.
func TestScaleOfOneDiverges(t *testing.T) {
	b := newSpy(t)
	b.alter = spoiler{x: math.NaN(), steps: steps(1, 40)}.alter
	s, r := smallRun(t, b, t.TempDir(), scaled, "train.batch_size=1", "train.epochs=2")
	result, err := Run(t.Context(), s)
	if !errors.Is(err, ErrDiverged) || result.BadSteps != maxBadSteps || len(r.steps) != 16+maxBadSteps-1 {
		t.Errorf("error %v after %d steps, %d of them bad", err, len(r.steps), result.BadSteps)
	}
}

// The scale of a checkpoint counts only for a run that has one, and a run that has one starts without a checkpoint's.
func TestPrecisionMayBeForcedToChangeOnResume(t *testing.T) {
	for _, sets := range [][2]string{{scaled, "precision=float32"}, {"precision=float32", scaled}} {
		h := &history{dir: t.TempDir()}
		b := newSpy(t)
		s, r := smallRun(t, b, h.dir, sets[0])
		interrupted(t, h, s, r, afterStep(5))
		s, r = smallRun(t, b, h.dir, sets[1])
		s.Resume, s.ForceConfig = ResumeAuto, true
		if _, err := h.attempt(t.Context(), s, r); err != nil {
			t.Fatal(err)
		}
		have := loadCheckpoint(t, h.dir, "last").Manifest.LossScale
		if sets[1] != scaled && have != nil || sets[1] == scaled && (have == nil || *have != checkpoint.LossScale{Factor: 65536, GoodSteps: 7}) {
			t.Errorf("%v: scale %+v", sets, have)
		}
	}
}

// The next batch is written while the step runs: before anything of the step is read.
func TestNextBatchIsWrittenBeforeTheStepIsWaitedFor(t *testing.T) {
	b := newSpy(t)
	var order []string
	b.fault = func(c call) error {
		if !c.training() || c.step == 0 {
			return nil
		}
		switch {
		case c.name == "run" && c.phase == graph.Step:
			order = append(order, "step")
		case c.name == "run" && c.phase == graph.Update:
			order = append(order, "update")
		case c.name == "write" && (c.value == c.program.Image || c.value == c.program.Labels):
			order = append(order, c.value.Name)
		case c.name == "read" && c.value == c.program.GradNorm:
			order = append(order, "read")
		}
		return nil
	}
	s, _ := smallRun(t, b, t.TempDir(), "train.epochs=1", "train.batch_size=17")
	if _, err := Run(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if want := []string{"step", "image", "labels", "read", "update", "step", "read", "update"}; !slices.Equal(order, want) {
		t.Errorf("order %q, want %q", order, want)
	}
}
