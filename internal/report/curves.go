package report

import (
	"fmt"
	"html/template"
	"math"

	"gonum.org/v1/plot/plotter"
)

// curvePoints is how many points a curve over steps is averaged to: finer than the pixels it is drawn on.
const curvePoints = 250

// curve is a plot with what stands around it.
type curve struct {
	Title, Unit string
	Alt         string // what it shows, in words
	Lines       []line
	SVG         template.HTML
}

// line is one line of a plot. Points that are not finite are left out.
type line struct {
	Name   string // empty when the curve has but one line
	Points plotter.XYs
	Dots   bool // mark each point
}

// newCurves plots a run's record over epochs; none for an empty record.
func newCurves(m Metrics) ([]curve, error) {
	if len(m.Steps) == 0 && len(m.Epochs) == 0 {
		return nil, nil
	}
	step := func(y func(Step) float64) plotter.XYs { return overSteps(m, y) }
	epoch := func(y func(Epoch) float64) plotter.XYs { return overEpochs(m, y) }
	all := []struct {
		curve
		from float64 // the y axis starts here; NaN: at the lowest value
	}{
		{curve{Title: "Loss", Lines: []line{
			{Name: "train", Points: step(func(s Step) float64 { return s.Loss })},
			{Name: "val", Points: epoch(func(e Epoch) float64 { return e.ValLoss }), Dots: true},
		}}, 0},
		{curve{Title: "Top-1 accuracy", Unit: "%", Lines: []line{
			{Name: "train", Points: step(func(s Step) float64 { return s.Top1 })},
			{Name: "val", Points: epoch(func(e Epoch) float64 { return e.ValTop1 }), Dots: true},
		}}, math.NaN()},
		{curve{Title: "Learning rate", Lines: []line{{Points: step(func(s Step) float64 { return s.LR })}}}, 0},
		{curve{Title: "Speed", Unit: "img/s", Lines: []line{{Points: step(func(s Step) float64 {
			return float64(s.Images) / s.StepTime.Seconds()
		})}}}, 0},
	}
	var curves []curve
	for _, c := range all {
		if c.empty() {
			continue
		}
		svg, err := drawSVG(c.Lines, c.from)
		if err != nil {
			return nil, fmt.Errorf("plot %q: %w", c.Title, err)
		}
		c.SVG, c.Alt = svg, c.describe()
		curves = append(curves, c.curve)
	}
	return curves, nil
}

func (c curve) empty() bool {
	for _, l := range c.Lines {
		if len(l.Points) > 0 {
			return false
		}
	}
	return true
}

// describe says where each line starts and ends.
func (c curve) describe() string {
	s := c.Title + " over epochs"
	for _, l := range c.Lines {
		if n := len(l.Points); n > 0 {
			s += fmt.Sprintf("; %s from %.4g to %.4g %s", l.Name, l.Points[0].Y, l.Points[n-1].Y, c.Unit)
		}
	}
	return s
}

// overSteps averages y over stretches of steps. Skipped steps count in none.
func overSteps(m Metrics, y func(Step) float64) plotter.XYs {
	var points plotter.XYs
	n := min(len(m.Steps), curvePoints)
	for i := range n {
		stretch := m.Steps[i*len(m.Steps)/n : (i+1)*len(m.Steps)/n]
		sum, counted := 0.0, 0
		for _, s := range stretch {
			if v := y(s); finite(v) {
				sum += v
				counted++
			}
		}
		if counted > 0 {
			middle := float64(stretch[0].GlobalStep+stretch[len(stretch)-1].GlobalStep) / 2
			points = append(points, plotter.XY{X: middle / float64(m.Run.BatchesPerEpoch), Y: sum / float64(counted)})
		}
	}
	return points
}

func overEpochs(m Metrics, y func(Epoch) float64) plotter.XYs {
	var points plotter.XYs
	for _, e := range m.Epochs {
		if v := y(e); finite(v) {
			points = append(points, plotter.XY{X: float64(e.Epoch), Y: v})
		}
	}
	return points
}
