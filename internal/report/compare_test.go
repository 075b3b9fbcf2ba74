package report

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"
)

// twoRuns differ in the learning rate; the second is without SE blocks and stopped in its first epoch.
func twoRuns() []NamedRun {
	a, b := recorded(), recorded()
	a.Run.Config, b.Run.Config = "model: {name: se}\ntrain:\n  lr: 0.1\n  epochs: 2\n", "model: {name: plain}\ntrain:\n  lr: 0.2\n  epochs: 2\n"
	for i := range a.Epochs {
		a.Epochs[i].Gates = []Gates{{Stage: 1, Mean: 0.5 + float64(i)/4, High: 10, Low: 1}, {Stage: 2, Mean: 0.25}}
	}
	a.Finish = &Summary{PeakBytes: 1 << 30}
	b.Steps, b.Epochs = b.Steps[:4], nil
	b.Steps[1].Loss = math.NaN()
	b.Steps[2].DataWait = b.Steps[2].StepTime
	return []NamedRun{{"runs/<se>", a}, {"runs/plain", b}}
}

func comparison(t *testing.T, runs []NamedRun) []element {
	t.Helper()
	var b strings.Builder
	if err := WriteComparison(&b, runs); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"http://", "https://", "url(", "@import", "<script", "<link", "ZgotmplZ", "#0100"} {
		if strings.Contains(b.String(), bad) {
			t.Errorf("the page contains %s", bad)
		}
	}
	return parse(t, b.String())
}

// row is the cells of the rows with that name.
func row(es []element, name string) []string {
	var cells []string
	in := false
	for _, e := range es {
		switch {
		case e.attr["scope"] == "row":
			in = strings.TrimSpace(e.text) == name
		case e.name == "td" && in:
			cells = append(cells, strings.TrimSpace(e.text))
		default:
			in = in && e.name != "tr"
		}
	}
	return cells
}

func TestComparisonShowsRunsSideBySide(t *testing.T) {
	es := comparison(t, twoRuns())
	equal(t, "headings", texts(es, named("h2")), "Training", "Outcome", "SE gates after the last epoch", "Where the configs differ", "Effective configs")
	equal(t, "curves", texts(es, named("b")), "Training loss", "Validation loss", "Training top-1 accuracy", "Validation top-1 accuracy",
		"Learning rate", "Speed", "Mean SE gate, stage 1", "Mean SE gate, stage 2")
	equal(t, "first lines", texts(es, ofClass("key line-0")), strings.Split(strings.Repeat("runs/<se>|", 7)+"runs/<se>", "|")...)
	equal(t, "second lines", texts(es, ofClass("key line-1")), "runs/plain", "runs/plain", "runs/plain", "runs/plain") // of steps: it has no epoch
	for name, want := range map[string][2]string{
		"best top-1": {"85.00 % in epoch 2", none}, "last loss": {"0.2500", none}, "epochs done": {"2 of 2", "0 of 2"}, "steps done": {"12", "4"},
		"skipped steps": {"0", "1"}, "median speed": {"50 img/s", "50 img/s"}, "waiting for data": {"0.0 %", "25.0 %"}, "time in steps": {"24s", "8.0s"},
		"peak memory": {"1.00 GiB", none}, "machine": {"cpu: two cores", "cpu: two cores"},
		"stage 1": {"0.750; 10.0 % high, 1.0 % low", none}, "model.name": {"se", "plain"}, "train.lr": {"0.1", "0.2"},
	} {
		equal(t, name, row(es, name), want[:]...)
	}
	equal(t, "a key that does not differ", row(es, "train.epochs"))
}

func TestComparisonOfOneRunHasNoLegend(t *testing.T) {
	es := comparison(t, twoRuns()[:1])
	equal(t, "title", texts(es, named("h1")), "Training run runs/<se>")
	equal(t, "legend", texts(es, ofClass("key line-0")))
	equal(t, "headings", texts(es, named("h2")), "Training", "Outcome", "SE gates after the last epoch", "Effective configs")
}

// TestEveryRunHasAColour: those of the style sheet, not what stands for them in drawings.
func TestEveryRunHasAColour(t *testing.T) {
	var runs []NamedRun
	for i := range MaxRuns {
		runs = append(runs, NamedRun{fmt.Sprint("run ", i), recorded()})
	}
	var b strings.Builder
	if err := WriteComparison(&b, runs); err != nil {
		t.Fatal(err)
	}
	_, drawing, _ := strings.Cut(b.String(), "<svg")
	for i := range MaxRuns {
		for _, want := range []string{fmt.Sprintf("stroke:var(--line-%d)", i+1), fmt.Sprintf(`"key line-%d"`, i)} {
			if !strings.Contains(drawing, want) {
				t.Errorf("no drawing has %s", want)
			}
		}
		for _, want := range []string{fmt.Sprintf("--line-%d: #", i+1), fmt.Sprintf(".line-%d::before", i)} {
			if !strings.Contains(style, want) {
				t.Errorf("the style sheet has no %s", want)
			}
		}
	}
	comparison(t, runs)
	for _, bad := range [][]NamedRun{nil, append(runs, runs[0])} {
		if err := WriteComparison(io.Discard, bad); err == nil {
			t.Errorf("%d runs are no error", len(bad))
		}
	}
}

func TestComparisonErrors(t *testing.T) {
	runs := twoRuns()
	if err := WriteComparison(fullDisk{}, runs); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("have error %v, want the writer's", err)
	}
	runs[1].Run.Config = "a: [1"
	if err := WriteComparison(io.Discard, runs); err == nil || !strings.Contains(err.Error(), "config of runs/plain") {
		t.Errorf("have error %v, want one that names the run", err)
	}
	comparison(t, []NamedRun{{"empty", Metrics{Run: fashion}}})
}

func TestReportShowsGates(t *testing.T) {
	es := parse(t, render(t, Report{Eval: evaluation(), Metrics: twoRuns()[0].Metrics}))
	equal(t, "curves", texts(es, named("b")), "Loss", "Top-1 accuracy", "Learning rate", "Speed", "Mean SE gate", "Saturated SE gates")
	equal(t, "second lines", texts(es, ofClass("key line-1")), "val", "val", "stage 2", "stage 2")
}
