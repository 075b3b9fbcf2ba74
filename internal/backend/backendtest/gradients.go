package backendtest

import (
	"fmt"
	"math"

	"senet/internal/backend"
	"senet/internal/graph"
)

// Central differences in float64 with this step are good to about 1e-8 for values near 1.
const (
	differenceStep      = 1e-5
	differenceTolerance = 1e-6 // of a derivative, or of 1 if that is more
)

// checkGradients compares what the gradient nodes say with central finite differences of the
// forward nodes: for each input one random direction through all its elements, and two elements
// alone. It does nothing for a case without gradients, or a backend that does not compute in float64.
func (c *testCase) checkGradients(b backend.Backend) (errs []error) {
	if len(c.losses) == 0 {
		return nil
	}
	exe, _, err := c.start(b, c.p)
	if err != nil {
		return []error{err}
	}
	defer func() { errs = append(errs, closing(exe)...) }()
	e, ok := exe.(exact)
	if !ok {
		return nil
	}
	for _, ph := range []graph.Phase{forward, gradient} {
		if err := exe.Run(ph); err != nil {
			return []error{err}
		}
	}
	for _, d := range c.gradients {
		for _, direction := range c.directions(len(e.Float64(d.in))) {
			want, err := c.slope(exe, e, d.in, direction)
			if err != nil {
				return append(errs, err)
			}
			have := dot(direction, e.Float64(d.grad))
			if off := math.Abs(have - want); !(off <= differenceTolerance*max(1, math.Abs(want))) {
				errs = append(errs, fmt.Errorf("%q: along a direction the gradient gives %.10g, finite differences %.10g", d.grad.Name, have, want))
			}
		}
	}
	return errs
}

// directions are a random one over n elements, scaled to length 1, and two unit vectors.
func (c *testCase) directions(n int) [][]float64 {
	random := make([]float64, n)
	for i := range random {
		random[i] = c.random.NormFloat64() / math.Sqrt(float64(n))
	}
	ds := [][]float64{random}
	for range 2 {
		unit := make([]float64, n)
		unit[c.random.IntN(n)] = 1
		ds = append(ds, unit)
	}
	return ds
}

// slope is the derivative of the case's loss as v moves along direction.
func (c *testCase) slope(exe backend.Executable, e exact, v *graph.Value, direction []float64) (float64, error) {
	x := e.Float64(v)
	at := append([]float64(nil), x...)
	defer copy(x, at)
	var ends [2]float64
	for i, step := range []float64{-differenceStep, differenceStep} {
		for j := range x {
			x[j] = at[j] + step*direction[j]
		}
		if err := exe.Run(forward); err != nil {
			return 0, err
		}
		for _, l := range c.losses {
			out := e.Float64(l.out)
			if l.weight == nil {
				ends[i] += out[0]
				continue
			}
			ends[i] += dot(out, e.Float64(l.weight))
		}
	}
	return (ends[1] - ends[0]) / (2 * differenceStep), nil
}

func dot(a, b []float64) float64 {
	sum := 0.0
	for i := range a {
		sum += a[i] * b[i]
	}
	return sum
}
