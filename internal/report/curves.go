package report

import (
	"fmt"
	"html/template"
	"maps"
	"math"
	"slices"

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
	from        float64 // the y axis starts here or lower; NaN: at the lowest value
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
	curves := []curve{
		{Title: "Loss", Lines: []line{
			{Name: "train", Points: step(trainLoss)}, {Name: "val", Points: epoch(valLoss), Dots: true},
		}},
		{Title: "Top-1 accuracy", Unit: "%", from: math.NaN(), Lines: []line{
			{Name: "train", Points: step(trainTop1)}, {Name: "val", Points: epoch(valTop1), Dots: true},
		}},
		{Title: "Learning rate", Lines: []line{{Points: step(learningRate)}}},
		{Title: "Speed", Unit: "img/s", Lines: []line{{Points: step(speed)}}},
	}
	mean, saturated := curve{Title: "Mean SE gate"}, curve{Title: "Saturated SE gates", Unit: "%"}
	for _, stage := range stages(m) {
		name := fmt.Sprintf("stage %d", stage)
		mean.Lines = append(mean.Lines, line{Name: name, Points: epoch(gate(stage, meanGate)), Dots: true})
		saturated.Lines = append(saturated.Lines, line{Name: name, Points: epoch(gate(stage, saturation)), Dots: true})
	}
	return drawCurves(append(curves, mean, saturated))
}

// What is plotted.

func trainLoss(s Step) float64    { return s.Loss }
func trainTop1(s Step) float64    { return s.Top1 }
func learningRate(s Step) float64 { return s.LR }
func speed(s Step) float64        { return float64(s.Images) / s.StepTime.Seconds() }
func valLoss(e Epoch) float64     { return e.ValLoss }
func valTop1(e Epoch) float64     { return e.ValTop1 }
func meanGate(g Gates) float64    { return g.Mean }
func saturation(g Gates) float64  { return g.High + g.Low }

// gate is y of a stage's gates, NaN in an epoch that has none.
func gate(stage int, y func(Gates) float64) func(Epoch) float64 {
	return func(e Epoch) float64 {
		for _, g := range e.Gates {
			if g.Stage == stage {
				return y(g)
			}
		}
		return math.NaN()
	}
}

// stages are those that have gates in any of the records.
func stages(ms ...Metrics) []int {
	set := map[int]bool{}
	for _, m := range ms {
		for _, e := range m.Epochs {
			for _, g := range e.Gates {
				set[g.Stage] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(set))
}

// drawCurves draws those that have a point.
func drawCurves(all []curve) ([]curve, error) {
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
		curves = append(curves, c)
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
