package train

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"senet/internal/graph"
	"senet/internal/report"
)

// TestRunsOfEveryOptimiserResumeToTheBit: stopped after each step in turn, also within the steps of an update.
func TestRunsOfEveryOptimiserResumeToTheBit(t *testing.T) {
	for name, sets := range map[string][]string{
		"sgd":   {"train.accumulate=2", "train.ema_decay=0.9"},
		"adamw": {"train.optimizer=adamw", "train.lr=0.01", "train.schedule=one-cycle", "train.warmup_epochs=1", "train.clip_norm=0.5"},
		"lamb": {
			"train.optimizer=lamb", "train.lr=0.02", "train.schedule=polynomial", "train.loss=binary", "train.accumulate=3",
			"train.clip_norm=0.1", "train.ema_decay=0.9",
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := openCPU(t, 1)
			s, r := smallRun(t, b, t.TempDir(), sets...)
			want := unbroken(t, s, r)
			h := &history{dir: t.TempDir()}
			for attempt := 1; ; attempt++ {
				if attempt > 13 {
					t.Fatal("the run does not end")
				}
				s, r := smallRun(t, b, h.dir, sets...)
				s.Resume = ResumeAuto
				ctx, cancel := context.WithCancel(t.Context())
				r.onStep = func(report.Step) error { cancel(); return nil }
				result, err := h.attempt(ctx, s, r)
				cancel()
				if err == nil {
					diff(t, h.outcome(t, result), want)
					return
				}
				if !errors.Is(err, ErrStopped) {
					t.Fatal(err)
				}
			}
		})
	}
}

// TestUpdatesFollowTheirSteps: 3 steps, then the last of the epoch's 4. A bad step is left out of the mean, and without a good
// one there is no update.
func TestUpdatesFollowTheirSteps(t *testing.T) {
	for _, c := range []struct {
		bad, updates []int
		held         []float64 // steps whose gradients each update is the mean of
	}{
		{nil, []int{3, 4, 7, 8, 11, 12}, []float64{3, 1, 3, 1, 3, 1}},
		{[]int{1, 3, 7}, []int{3, 4, 7, 8, 11, 12}, []float64{1, 1, 2, 1, 3, 1}},
		{[]int{4, 5, 6, 7}, []int{3, 8, 11, 12}, []float64{3, 1, 3, 1}},
	} {
		t.Run(fmt.Sprint(c.bad), func(t *testing.T) {
			b := newSpy(t)
			var summed, updates []int
			var held []float64
			var rates []float32
			b.alter = spoiler{x: math.NaN(), steps: c.bad}.alter
			b.fault = func(x call) error {
				switch {
				case x.training() && x.name == "run" && x.phase == graph.Accumulate:
					summed = append(summed, x.step)
				case x.training() && x.name == "run" && x.phase == graph.Update:
					n, err := x.exe.Read(x.program.Accumulated)
					if err != nil {
						return err
					}
					updates, held = append(updates, x.step), append(held, float64(n.Float32s()[0]))
				case x.name == "write" && x.value == x.program.LearningRate:
					rates = append(rates, x.host.Float32s()[0])
				}
				return nil
			}
			s, _ := smallRun(t, b, t.TempDir(), "train.accumulate=3")
			if _, err := Run(t.Context(), s); err != nil {
				t.Fatal(err)
			}
			good := slices.DeleteFunc(steps(1, 12), func(step int) bool { return slices.Contains(c.bad, step) })
			if !slices.Equal(summed, good) || !slices.Equal(updates, c.updates) || !slices.Equal(held, c.held) {
				t.Errorf("gradients of steps %v, updates at %v of %v; want %v, %v, %v", summed, updates, held, good, c.updates, c.held)
			}
			schedule := Schedule{Base: 0.05, Min: 0.001, WarmupSteps: 1, Steps: 6}
			for i, rate := range rates {
				if update := i/4*2 + i%4/3; rate != float32(schedule.At(update)) {
					t.Errorf("step %d: rate %v, want that of update %d, %v", i+1, rate, update, schedule.At(update))
				}
			}
		})
	}
}

// TestTheModelIsOfAverages: what is saved as the model are the moving averages of what was trained, from the start on.
func TestTheModelIsOfAverages(t *testing.T) {
	b := newSpy(t)
	var trained []snapshot // before each step
	b.fault = func(c call) error {
		if c.training() && c.name == "run" && c.phase == graph.Step {
			trained = append(trained, (&watch{t: t}).take(c))
		}
		return nil
	}
	dir := t.TempDir()
	s, _ := smallRun(t, b, dir, "train.ema_decay=0.75", "train.epochs=1", "train.warmup_epochs=0", "model.zero_init_residual=false")
	if _, err := Run(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	end := loadCheckpoint(t, dir, "last")
	final := snapshot{}
	for name, x := range end.Optimizer {
		final[name] = x.Float32s()
	}
	trained = append(trained, final)
	for name, have := range end.Model {
		moved := false
		for i, got := range have.Float32s() {
			want := float64(trained[0][name][i])
			for _, values := range trained[1:] {
				want += 0.25 * (float64(values[name][i]) - want)
			}
			if !(math.Abs(float64(got)-want) <= 1e-6*max(1, math.Abs(want))) {
				t.Fatalf("%s: element %d is %v, the average is %v", name, i, got, want)
			}
			moved = moved || got != final[name][i]
		}
		if !moved {
			t.Errorf("%s is not averaged", name)
		}
	}
	if len(trained) != 5 || len(end.Model) == 0 {
		t.Errorf("%d snapshots, %d tensors", len(trained), len(end.Model))
	}
}
