package report

import (
	"bytes"
	_ "embed" // the template and the style sheet
	"errors"
	"fmt"
	"html/template"
	"io"
	"time"
)

// Report is what an HTML report shows.
type Report struct {
	Title   string
	Eval    Evaluation
	Metrics Metrics // the training's record; zero if there is none
	Machine []Fact
	Config  string // effective, YAML
}

// Evaluation is the outcome of an evaluation.
type Evaluation struct {
	Checkpoint string
	Images     int
	Loss       float64
	Top1, Top5 float64
	Duration   time.Duration // 0 if not measured
	Classes    []string
	Confusion  [][]int // images by [true class][predicted class]
	Examples   []Example
}

// Example is an image with what the network made of it.
type Example struct {
	Pixels  []uint8      // (H, W, C)
	H, W, C int          // C is 1 (grey) or 3 (RGB)
	Label   int          // the true class
	Top     []Prediction // the most probable first, at least one
}

// Prediction is a class with its probability, from 0 to 1.
type Prediction struct {
	Class       int
	Probability float64
}

// Fact is one line about the machine or the run.
type Fact struct {
	Name, Value string
}

var (
	//go:embed report.html.tmpl
	pageText string
	//go:embed curves.html.tmpl
	curvesText string
	//go:embed report.css
	style string

	pageTemplate = template.Must(template.New("report").Parse(pageText + curvesText))
)

// page is what the template shows.
type page struct {
	Title, Subtitle string
	Style           template.CSS
	Headlines       []headline
	Curves          []curve
	Confusion       confusion
	Examples        []exampleGroup
	Facts           []Fact
	Config          string
}

type headline struct{ Name, Value, Note string }

// WriteHTML writes r as one HTML file that loads nothing else. Nothing is written when r does
// not fit together, e.g. when a label is not among the classes.
func WriteHTML(w io.Writer, r Report) error {
	if err := r.Eval.check(); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	curves, err := newCurves(r.Metrics)
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	examples, err := newExamples(r.Eval)
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	var b bytes.Buffer
	err = pageTemplate.Execute(&b, page{
		Title: r.Title, Subtitle: r.Eval.subtitle(), Style: template.CSS(style),
		Headlines: headlines(r), Curves: curves, Confusion: newConfusion(r.Eval), Examples: examples,
		Facts: append(runFacts(r.Metrics.Run), r.Machine...), Config: r.Config,
	})
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	_, err = w.Write(b.Bytes())
	return err
}

// check reports everything that does not fit together.
func (e Evaluation) check() error {
	k := len(e.Classes)
	var problems []error
	if len(e.Confusion) != k {
		problems = append(problems, fmt.Errorf("the confusion matrix has %d rows, want one for each of %d classes", len(e.Confusion), k))
	}
	for i, row := range e.Confusion {
		if len(row) != k {
			problems = append(problems, fmt.Errorf("row %d of the confusion matrix has %d columns, want one for each of %d classes", i, len(row), k))
		}
	}
	for i, x := range e.Examples {
		if err := x.check(k); err != nil {
			problems = append(problems, fmt.Errorf("example %d: %w", i, err))
		}
	}
	return errors.Join(problems...)
}

func (x Example) check(classes int) error {
	if x.Label < 0 || x.Label >= classes {
		return fmt.Errorf("label %d is not among the %d classes", x.Label, classes)
	}
	if len(x.Top) == 0 {
		return errors.New("has no prediction")
	}
	for _, p := range x.Top {
		if p.Class < 0 || p.Class >= classes {
			return fmt.Errorf("predicted class %d is not among the %d classes", p.Class, classes)
		}
	}
	if x.C != 1 && x.C != 3 {
		return fmt.Errorf("has %d channels, want 1 or 3", x.C)
	}
	if x.H < 1 || x.W < 1 || len(x.Pixels) != x.H*x.W*x.C {
		return fmt.Errorf("has %d pixel bytes, want %dx%dx%d", len(x.Pixels), x.H, x.W, x.C)
	}
	return nil
}

func (e Evaluation) subtitle() string {
	s := fmt.Sprintf("Evaluated on %s images", Thousands(int64(e.Images)))
	if e.Checkpoint != "" {
		s += " with the checkpoint " + e.Checkpoint
	}
	return s
}

func headlines(r Report) []headline {
	e := r.Eval
	hs := []headline{
		{"Top-1 accuracy", fmt.Sprintf("%.2f %%", e.Top1), fmt.Sprintf("error %.2f %%", 100-e.Top1)},
		{"Top-5 accuracy", fmt.Sprintf("%.2f %%", e.Top5), fmt.Sprintf("error %.2f %%", 100-e.Top5)},
		{"Loss", fmt.Sprintf("%.4f", e.Loss), "mean cross-entropy"},
		{"Images", Thousands(int64(e.Images)), fmt.Sprintf("%d classes", len(e.Classes))},
	}
	if e.Duration > 0 {
		hs = append(hs, headline{"Evaluation time", formatDuration(e.Duration), fmt.Sprintf("%s img/s", Thousands(int64(float64(e.Images)/e.Duration.Seconds())))})
	}
	if m := r.Metrics; len(m.Steps) > 0 {
		var took time.Duration
		for _, s := range m.Steps {
			took += s.StepTime
		}
		hs = append(hs, headline{"Training time", formatDuration(took), fmt.Sprintf("%s steps", Thousands(int64(len(m.Steps))))})
	}
	return hs
}

// runFacts describe the training run; none for the zero Run.
func runFacts(r Run) []Fact {
	if r.BatchesPerEpoch == 0 {
		return nil
	}
	return []Fact{
		{"model", fmt.Sprintf("%s, %s parameters", r.Model, Thousands(r.Params))},
		{"data", fmt.Sprintf("%s, %s training and %s validation images", r.Data, Thousands(int64(r.TrainImages)), Thousands(int64(r.ValImages)))},
		{"training", fmt.Sprintf("%d epochs of %s steps, batch %d, started %s", r.Epochs, Thousands(int64(r.BatchesPerEpoch)), r.BatchSize, r.Started.UTC().Format("2006-01-02 15:04 UTC"))},
		{"trained on", r.Device},
		{"planned peak memory of training", FormatBytes(r.PlannedBytes)},
	}
}
