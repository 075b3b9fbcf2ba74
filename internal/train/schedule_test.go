package train

import (
	"fmt"
	"math"
	"testing"
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
