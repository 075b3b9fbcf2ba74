package cli

import (
	"cmp"
	"math"
	"slices"

	"senet/internal/report"
)

// rank is the softmax of a row of logits, the n most probable classes first; ties go to the lower class.
func rank(logits []float32, n int) []report.Prediction {
	top := float64(slices.Max(logits))
	sum := 0.0
	out := make([]report.Prediction, len(logits))
	for i, x := range logits {
		out[i] = report.Prediction{Class: i, Probability: math.Exp(float64(x) - top)}
		sum += out[i].Probability
	}
	for i := range out {
		out[i].Probability /= sum
	}
	slices.SortStableFunc(out, func(a, b report.Prediction) int { return cmp.Compare(b.Probability, a.Probability) })
	return out[:min(n, len(out))]
}
