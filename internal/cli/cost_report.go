package cli

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"

	"senet/internal/graph"
	"senet/internal/report"
)

// costReport is the --json object of `senet cost`; the first three are left out where nothing was measured.
type costReport struct {
	Device   string        `json:"device,omitempty"`
	Batch    int           `json:"batch,omitempty"`
	Steps    int           `json:"steps,omitempty"`
	Networks []costNetwork `json:"networks"`
}

// costNetwork is a network with SE blocks beside the same without.
type costNetwork struct {
	Model   string      `json:"model"`
	Stages  []int       `json:"se_stages,omitempty"` // that have SE blocks; all of them if left out
	Input   []int       `json:"input"`               // (C, H, W)
	With    totalReport `json:"with_se"`
	Without totalReport `json:"without_se"`
	Added   costAdded   `json:"added"`
	Infer   *costTime   `json:"infer,omitempty"`
	Train   *costTime   `json:"train,omitempty"`
}

// costAdded is what SE adds, in percent of the twin without it.
type costAdded struct {
	Params     float64 `json:"params_percent"`
	FLOPs      float64 `json:"flops_percent"`
	Activation float64 `json:"activation_percent"`
}

// costTime is what a step takes.
type costTime struct {
	With           benchSpread `json:"with_se_seconds"`
	Without        benchSpread `json:"without_se_seconds"`
	Ratio          benchSpread `json:"time_ratio"` // of the one to the other, step by step
	WithPlanned    int64       `json:"with_se_planned_bytes"`
	WithoutPlanned int64       `json:"without_se_planned_bytes"`
}

// percent is what the ratio adds.
func (t costTime) percent() benchSpread {
	return benchSpread{100 * (t.Ratio.Low - 1), 100 * (t.Ratio.Median - 1), 100 * (t.Ratio.High - 1)}
}

// costRow is a line of a network's table.
const costRow = "  %-22s %26s %26s %26s\n"

func (r costReport) print(w io.Writer) error {
	var b strings.Builder
	for _, n := range r.Networks {
		fmt.Fprintf(&b, "%s, image %s\n", n.label(), graph.Shape(n.Input))
		fmt.Fprintf(&b, costRow, "", "with SE", "without SE", "SE adds")
		n.printCounts(&b)
		n.Infer.print(&b, "inference")
		n.Train.print(&b, "training")
		fmt.Fprintln(&b)
	}
	if r.Device != "" {
		fmt.Fprintf(&b, "Times are medians of %d steps of %d images, run in turn, with quartiles, on %s.\n", r.Steps, r.Batch, r.Device)
	}
	fmt.Fprintln(&b, "FLOPs are multiply-adds and activations float32, both of one image.")
	_, err := io.WriteString(w, b.String())
	return err
}

func (n costNetwork) printCounts(w io.Writer) {
	for _, c := range []struct {
		name          string
		with, without string
		added         float64
	}{
		{"parameters", report.Thousands(n.With.Params), report.Thousands(n.Without.Params), n.Added.Params},
		{"FLOPs", report.Thousands(n.With.FLOPs), report.Thousands(n.Without.FLOPs), n.Added.FLOPs},
		{"activations", report.FormatBytes(n.With.Activation), report.FormatBytes(n.Without.Activation), n.Added.Activation},
	} {
		fmt.Fprintf(w, costRow, c.name, c.with, c.without, fmt.Sprintf("%.2f %%", c.added))
	}
}

// print writes the rows of inference or training, none if it was not measured.
func (t *costTime) print(w io.Writer, what string) {
	if t == nil {
		return
	}
	ms := func(s benchSpread) string {
		return fmt.Sprintf("%.2f (%.2f to %.2f)", 1e3*s.Median, 1e3*s.Low, 1e3*s.High)
	}
	p := t.percent()
	fmt.Fprintf(w, costRow, what+", ms a step", ms(t.With), ms(t.Without), fmt.Sprintf("%.1f %% (%.1f to %.1f)", p.Median, p.Low, p.High))
	fmt.Fprintf(w, costRow, "  planned memory", report.FormatBytes(t.WithPlanned), report.FormatBytes(t.WithoutPlanned),
		fmt.Sprintf("%.2f %%", 100*(float64(t.WithPlanned)/float64(t.WithoutPlanned)-1)))
}

// writeChart draws what SE adds, a group of bars for each network.
func (r costReport) writeChart(path string) error {
	c := report.Bars{Title: "What SE blocks add to a network"}
	params, flops := report.Series{Name: "parameters"}, report.Series{Name: "FLOPs"}
	infer, train := report.Series{Name: "inference time"}, report.Series{Name: "training time"}
	for _, n := range r.Networks {
		c.Groups = append(c.Groups, n.label())
		params.Bars = append(params.Bars, report.Bar{Value: n.Added.Params, Low: n.Added.Params, High: n.Added.Params})
		flops.Bars = append(flops.Bars, report.Bar{Value: n.Added.FLOPs, Low: n.Added.FLOPs, High: n.Added.FLOPs})
		infer.Bars, train.Bars = append(infer.Bars, n.Infer.bar()), append(train.Bars, n.Train.bar())
	}
	c.Series = []report.Series{params, flops}
	if r.Device != "" {
		c.Title += fmt.Sprintf(", batch %d, %s", r.Batch, r.Device)
		c.Series = append(c.Series, infer, train)
	}
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("--chart: %w", err)
	}
	if err := errors.Join(report.WriteBars(f, c), f.Close()); err != nil {
		return fmt.Errorf("write chart %s: %w", path, err)
	}
	return nil
}

// bar is the added time; none if it was not measured.
func (t *costTime) bar() report.Bar {
	if t == nil {
		return report.Bar{Value: math.NaN()}
	}
	p := t.percent()
	return report.Bar{Value: p.Median, Low: p.Low, High: p.High}
}
