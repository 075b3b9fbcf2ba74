package backendtest

import (
	"fmt"
	"math"
	"slices"

	"senet/internal/graph"
)

// defaultMagnitude is what a tensor's elements are taken to measure at least: below it an
// error counts in absolute terms, so that a tensor of zeros does not ask for exact zeros.
const defaultMagnitude = 1e-3

// bound says how far an element may be off: by tolerance times the tensor's greatest
// magnitude, where magnitude (0: defaultMagnitude) is the least that is assumed. A tensor that is the
// small difference of large terms has the terms' magnitude. nan allows NaN where the oracle has NaN.
type bound struct {
	tolerance, magnitude float64
	nan                  bool
}

// difference returns nil if have agrees with want, the oracle's values of v, within the bound, and else
// an error with the worst element. NaN agrees with nothing unless the bound allows it; integers must be equal.
func difference(v *graph.Value, have, want []float64, b bound) error {
	if len(have) != len(want) {
		return fmt.Errorf("have %d elements, want %d", len(have), len(want))
	}
	limit := 0.0
	if v.DType == graph.Float32 {
		limit = b.limit(want)
	}
	worst, at := -1.0, 0
	for i, w := range want {
		err := math.Abs(have[i] - w)
		if b.nan && math.IsNaN(have[i]) && math.IsNaN(w) {
			err = 0
		}
		if math.IsNaN(err) {
			worst, at = err, i
			break
		}
		if err > worst {
			worst, at = err, i
		}
	}
	if worst <= limit {
		return nil
	}
	return fmt.Errorf("element %v of %s: have %g, want %g: off by %.3g, %.0f%% of the tolerance %.3g",
		index(at, v.Shape), v.Shape, have[at], want[at], worst, 100*worst/limit, limit)
}

func (b bound) limit(want []float64) float64 {
	largest := defaultMagnitude
	if b.magnitude > 0 {
		largest = b.magnitude
	}
	for _, w := range want {
		if !math.IsNaN(w) {
			largest = max(largest, math.Abs(w))
		}
	}
	return b.tolerance * largest
}

// index turns a position in logical order into coordinates.
func index(at int, s graph.Shape) []int {
	coordinates := make([]int, len(s))
	for i := len(s) - 1; i >= 0; i-- {
		coordinates[i] = at % s[i]
		at /= s[i]
	}
	return coordinates
}

// float64s converts the data of a host tensor.
func float64s(data any) []float64 {
	switch x := data.(type) {
	case []float32:
		return converted(x)
	case []int32:
		return converted(x)
	case []uint8:
		return converted(x)
	}
	return nil
}

func converted[T float32 | int32 | uint8](from []T) []float64 {
	to := make([]float64, len(from))
	for i, x := range from {
		to[i] = float64(x)
	}
	return to
}

// sameBits reports whether two host tensors' data are equal bit by bit.
func sameBits(a, b any) bool {
	switch x := a.(type) {
	case []float32:
		y, ok := b.([]float32)
		return ok && slices.EqualFunc(x, y, func(p, q float32) bool { return math.Float32bits(p) == math.Float32bits(q) })
	case []int32:
		y, ok := b.([]int32)
		return ok && slices.Equal(x, y)
	case []uint8:
		y, ok := b.([]uint8)
		return ok && slices.Equal(x, y)
	}
	return false
}
