package report

import (
	"math"
	"slices"
	"strings"
	"testing"

	"gonum.org/v1/plot/plotter"
)

func TestCurvesOverStepsAreAveragedStretches(t *testing.T) {
	m := Metrics{Run: Run{BatchesPerEpoch: 100}}
	for g := 1; g <= 4*curvePoints; g++ {
		m.Steps = append(m.Steps, Step{GlobalStep: g, Loss: float64(g % 4), Images: 1})
	}
	m.Steps[0].Loss = math.NaN() // of 1, 2, 3, 0
	points := overSteps(m, func(s Step) float64 { return s.Loss })
	if len(points) != curvePoints {
		t.Fatalf("have %d points, want %d", len(points), curvePoints)
	}
	for i, want := range map[int]plotter.XY{0: {X: 0.025, Y: 5.0 / 3}, 1: {X: 0.065, Y: 1.5}, curvePoints - 1: {X: 9.985, Y: 1.5}} {
		if !(math.Abs(points[i].X-want.X) <= 1e-9 && math.Abs(points[i].Y-want.Y) <= 1e-9) {
			t.Errorf("point %d: have %v, want %v", i, points[i], want)
		}
	}
}

func TestAxesEndAtRoundNumbers(t *testing.T) {
	for _, c := range []struct {
		low, high float64
		count     int
		want      []string
	}{
		{0, 5, 6, []string{"0", "1", "2", "3", "4", "5"}},
		{0, 0.0999, 5, []string{"0.00", "0.02", "0.04", "0.06", "0.08", "0.10"}},
		{0, 2.2, 5, []string{"0.0", "0.5", "1.0", "1.5", "2.0", "2.5"}},
		{81, 92, 5, []string{"80", "85", "90", "95"}},
		{0, 90, 6, []string{"0", "20", "40", "60", "80", "100"}},
		{0, 3, 3, []string{"0", "1", "2", "3"}},
		{-0.1, 0.1, 2, []string{"-0.1", "0.0", "0.1"}},
	} {
		step := roundStep((c.high - c.low) / float64(c.count))
		var have []string
		for _, k := range ticks(math.Floor(c.low/step)*step, math.Ceil(c.high/step)*step, step) {
			have = append(have, k.Label)
		}
		if !slices.Equal(have, c.want) {
			t.Errorf("%g to %g: have %v, want %v", c.low, c.high, have, c.want)
		}
	}
}

func TestSinglePointsAndMarkedLinesHaveDots(t *testing.T) {
	one, two := plotter.XYs{{X: 1, Y: 1}}, plotter.XYs{{X: 1, Y: 1}, {X: 2, Y: 2}}
	for _, c := range []struct {
		line
		want int
	}{{line{Points: one}, 1}, {line{Points: two}, 0}, {line{Points: two, Dots: true}, 2}} {
		svg, err := drawSVG([]line{c.line}, 0)
		if have := strings.Count(string(svg), "fill:var(--line-1)"); err != nil || have != c.want {
			t.Errorf("%+v: have %d dots (error %v), want %d", c.line, have, err, c.want)
		}
	}
}

func TestConstantCurvesCanBeDrawn(t *testing.T) {
	for _, y := range []float64{0, 1e-9, 100, 1e30} {
		svg, err := drawSVG([]line{{Points: plotter.XYs{{X: 0.5, Y: y}, {X: 1, Y: y}}}}, math.NaN())
		if err != nil || strings.Contains(string(svg), "NaN") || strings.Contains(string(svg), "Inf") || strings.Count(string(svg), "<text") < 6+1+2 {
			t.Errorf("constant %g: error %v, drawing %s", y, err, svg)
		}
	}
}
