package cli

import (
	"math"
	"testing"
)

func TestRank(t *testing.T) {
	for _, c := range []struct {
		name    string
		logits  []float32
		n       int
		classes []int
		first   float64 // probability
	}{
		{"most probable first", []float32{0, float32(math.Log(3)), float32(math.Log(2))}, 3, []int{1, 2, 0}, 0.5},
		{"only the first two", []float32{0, float32(math.Log(3)), float32(math.Log(2))}, 2, []int{1, 2}, 0.5},
		{"ties go to the lower class", []float32{1, 2, 1, 2, 1}, 5, []int{1, 3, 0, 2, 4}, 1 / (2 + 3/math.E)},
		{"all the same", []float32{7, 7, 7, 7}, 1, []int{0}, 0.25},
		{"more than there are classes", []float32{3, 3}, 5, []int{0, 1}, 0.5},
		{"far outside the range of exp", []float32{-30000, 30000, -30000}, 3, []int{1, 0, 2}, 1},
		{"all far below it", []float32{-30000, -30000}, 1, []int{0}, 0.5},
	} {
		top := rank(c.logits, c.n)
		if len(top) != len(c.classes) {
			t.Errorf("%s: %d classes, want %d", c.name, len(top), len(c.classes))
			continue
		}
		sum := 0.0
		for i, p := range top {
			if p.Class != c.classes[i] {
				t.Errorf("%s: class %d in place %d, want %d", c.name, p.Class, i, c.classes[i])
			}
			sum += p.Probability
		}
		if !(math.Abs(top[0].Probability-c.first) <= 1e-7) {
			t.Errorf("%s: probability %v, want %v", c.name, top[0].Probability, c.first)
		}
		if len(top) == len(c.logits) && !(math.Abs(sum-1) <= 1e-12) {
			t.Errorf("%s: probabilities add up to %v", c.name, sum)
		}
	}
}
