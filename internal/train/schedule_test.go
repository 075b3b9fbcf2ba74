package train

import (
	"fmt"
	"math"
	"testing"

	"senet/internal/config"
)

func TestScheduleIsWarmUpThenHalfACosine(t *testing.T) {
	s := Schedule{Base: 0.1, Min: 0.002, WarmupSteps: 5, Steps: 25}
	noWarmup := Schedule{Base: 0.1, Min: 0.002, Steps: 20}
	allWarmup := Schedule{Base: 0.1, Min: 0.002, WarmupSteps: 4, Steps: 4}
	// By the half-angle identity the cosine's factor is cos²(πt/2) at the share t of the way.
	squared := func(x float64) float64 { return x * x }
	for _, c := range []struct {
		name string
		s    Schedule
		step int
		want float64
	}{
		{"first", s, 0, 0.02},
		{"second", s, 1, 0.04},
		{"before the warm-up's end", s, 3, 0.08},
		{"the warm-up's last", s, 4, 0.1},
		{"the cosine's first", s, 5, 0.1},
		{"the cosine's second", s, 6, 0.002 + 0.098*squared(math.Cos(math.Pi/40))},
		{"a third", Schedule{Base: 3, Min: 1, WarmupSteps: 2, Steps: 14}, 6, 2.5},
		{"half", s, 15, 0.051},
		{"the one before the last", s, 23, 0.002 + 0.098*squared(math.Sin(math.Pi/20))},
		{"the last", s, 24, 0.002 + 0.098*squared(math.Sin(math.Pi/40))},
		{"just past the end", s, 25, 0.002},
		{"far past the end", s, 1000, 0.002},
		{"no warm-up: first", noWarmup, 0, 0.1},
		{"no warm-up: second", noWarmup, 1, 0.002 + 0.098*squared(math.Cos(math.Pi/40))},
		{"no warm-up: half", noWarmup, 10, 0.051},
		{"no warm-up: past the end", noWarmup, 20, 0.002},
		{"nothing but warm-up: first", allWarmup, 0, 0.025},
		{"nothing but warm-up: last", allWarmup, 3, 0.1},
		{"nothing but warm-up: past the end", allWarmup, 4, 0.002},
		{"a single step", Schedule{Base: 0.1, Steps: 1}, 0, 0.1},
	} {
		t.Run(c.name, func(t *testing.T) {
			if have := c.s.At(c.step); !(math.Abs(have-c.want) <= 1e-15) {
				t.Errorf("step %d: rate %v, want %v", c.step, have, c.want)
			}
		})
	}
}

// TestSchedulesFall: each at points worked out by hand. PyTorch's rates are those of TestRecipesAreAsInPyTorch.
func TestSchedulesFall(t *testing.T) {
	drops := Schedule{Kind: StepDecay, Base: 0.6, Min: 0.01, WarmupSteps: 2, Steps: 9, StepLength: 3, StepFactor: 0.1}
	square := Schedule{Kind: Polynomial, Base: 0.5, Min: 0.1, WarmupSteps: 2, Steps: 6, Power: 2}
	cycle := Schedule{Kind: OneCycle, Base: 1, Min: 0.2, WarmupSteps: 5, Steps: 9}
	for _, c := range []struct {
		name string
		s    Schedule
		step int
		want float64
	}{
		{"drops: the rise", drops, 0, 0.3},
		{"drops: before the first", drops, 2, 0.6},
		{"drops: the first, counted from the run's start", drops, 3, 0.06},
		{"drops: before the second", drops, 5, 0.06},
		{"drops: not below the least", drops, 6, 0.01},
		{"drops: past the end", drops, 100, 0.01},
		{"square: the rise", square, 0, 0.25},
		{"square: the peak", square, 2, 0.5},
		{"square: half", square, 4, 0.2},
		{"square: past the end", square, 6, 0.1},
		{"cycle: the first", cycle, 0, 0.04},
		{"cycle: half of the rise", cycle, 2, 0.52},
		{"cycle: the peak", cycle, 4, 1},
		{"cycle: half of the fall", cycle, 6, 0.6},
		{"cycle: the last", cycle, 8, 0.2},
		{"cycle: past the end", cycle, 9, 0.2},
		{"cycle of one update", Schedule{Kind: OneCycle, Base: 1, Min: 0.2, WarmupSteps: 1, Steps: 1}, 0, 1},
	} {
		if have := c.s.At(c.step); !(math.Abs(have-c.want) <= 1e-15) {
			t.Errorf("%s: update %d: rate %v, want %v", c.name, c.step, have, c.want)
		}
	}
}

// TestEpochsBecomeWholeUpdates: 0.29 times 100 is below 29 in a float64.
func TestEpochsBecomeWholeUpdates(t *testing.T) {
	s := newSchedule(config.Train{Epochs: 3, WarmupEpochs: 0.29, StepEpochs: 1.15}, 100)
	if s.WarmupSteps != 29 || s.StepLength != 115 || s.Steps != 300 {
		t.Errorf("%+v, want 29, 115 and 300 updates", s)
	}
}

func TestScheduleRisesThenFallsBetweenMinAndBase(t *testing.T) {
	for _, warmup := range []int{0, 1, 7, 40} {
		t.Run(fmt.Sprint("warm-up ", warmup), func(t *testing.T) {
			s := Schedule{Base: 0.3, Min: 0.01, WarmupSteps: warmup, Steps: 40}
			for step := 1; step < s.Steps; step++ {
				before, now := s.At(step-1), s.At(step)
				ok := now < before
				switch {
				case step < warmup:
					ok = now > before
				case step == warmup:
					ok = now == s.Base && before == s.Base
				}
				if !ok || !(now > 0 && now <= s.Base) || step >= warmup && !(now > s.Min) {
					t.Errorf("rate of step %d is %v, before it %v", step, now, before)
				}
			}
		})
	}
}
