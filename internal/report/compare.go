package report

import (
	"bytes"
	_ "embed" // the template
	"fmt"
	"html/template"
	"io"
	"math"

	"gonum.org/v1/plot/plotter"
)

// NamedRun is the record of a run with the name it is shown by.
type NamedRun struct {
	Name string
	Metrics
}

// MaxRuns is how many runs a comparison can tell apart by colour.
const MaxRuns = maxLines

//go:embed compare.html.tmpl
var compareText string

var compareTemplate = template.Must(template.New("compare").Parse(compareText + curvesText))

// comparePage is what the template shows.
type comparePage struct {
	Title   string
	Style   template.CSS
	Curves  []curve
	Tables  []table
	Configs []Fact // effective, by run
}

// WriteComparison writes the curves and figures of 1 to MaxRuns runs side by side, as one HTML file that loads nothing else.
func WriteComparison(w io.Writer, runs []NamedRun) error {
	if len(runs) < 1 || len(runs) > MaxRuns {
		return fmt.Errorf("compare: %d runs, want 1 to %d", len(runs), MaxRuns)
	}
	curves, err := drawCurves(compareCurves(runs))
	if err != nil {
		return fmt.Errorf("compare: %w", err)
	}
	configs, err := configTable(runs)
	if err != nil {
		return fmt.Errorf("compare: %w", err)
	}
	p := comparePage{
		Title: "Training run " + runs[0].Name, Style: template.CSS(style), Curves: curves,
	}
	if len(runs) > 1 {
		p.Title = fmt.Sprintf("%d training runs", len(runs))
	}
	for _, t := range []table{outcomeTable(runs), gatesTable(runs), configs} {
		if len(t.Rows) > 0 {
			p.Tables = append(p.Tables, t)
		}
	}
	for _, r := range runs {
		p.Configs = append(p.Configs, Fact{r.Name, r.Run.Config})
	}
	var b bytes.Buffer
	if err := compareTemplate.Execute(&b, p); err != nil {
		return fmt.Errorf("compare: %w", err)
	}
	_, err = w.Write(b.Bytes())
	return err
}

// compareCurves have a line for each run.
func compareCurves(runs []NamedRun) []curve {
	each := func(dots bool, points func(Metrics) plotter.XYs) []line {
		var ls []line
		for _, r := range runs {
			name := r.Name
			if len(runs) == 1 {
				name = ""
			}
			ls = append(ls, line{Name: name, Points: points(r.Metrics), Dots: dots})
		}
		return ls
	}
	steps := func(y func(Step) float64) []line {
		return each(false, func(m Metrics) plotter.XYs { return overSteps(m, y) })
	}
	epochs := func(y func(Epoch) float64) []line {
		return each(true, func(m Metrics) plotter.XYs { return overEpochs(m, y) })
	}
	curves := []curve{
		{Title: "Training loss", Lines: steps(trainLoss)},
		{Title: "Validation loss", Lines: epochs(valLoss)},
		{Title: "Training top-1 accuracy", Unit: "%", from: math.NaN(), Lines: steps(trainTop1)},
		{Title: "Validation top-1 accuracy", Unit: "%", from: math.NaN(), Lines: epochs(valTop1)},
		{Title: "Learning rate", Lines: steps(learningRate)},
		{Title: "Speed", Unit: "img/s", Lines: steps(speed)},
	}
	for _, stage := range stages(metricsOf(runs)...) {
		curves = append(curves, curve{Title: fmt.Sprintf("Mean SE gate, stage %d", stage), Lines: epochs(gate(stage, meanGate))})
	}
	return curves
}

func metricsOf(runs []NamedRun) []Metrics {
	var ms []Metrics
	for _, r := range runs {
		ms = append(ms, r.Metrics)
	}
	return ms
}
