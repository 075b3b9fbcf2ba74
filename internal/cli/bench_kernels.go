package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"senet/internal/backend"
	"senet/internal/bench"
	"senet/internal/graph"
	"senet/internal/model"
)

// benchKernelsReport is the --json object of `senet bench kernels`.
type benchKernelsReport struct {
	What    string         `json:"what"`
	Device  string         `json:"device"`
	Model   string         `json:"model"`
	Train   bool           `json:"train"`
	Batch   int            `json:"batch"`
	Input   []int          `json:"input"` // (C, H, W)
	Steps   int            `json:"steps"`
	Peak    float64        `json:"peak_bytes_per_second,omitempty"` // of the device's memory, where it is known
	Kernels []kernelReport `json:"kernels"`                         // those with the most time in a step first
}

// kernelReport is what the nodes of one op and shape took.
type kernelReport struct {
	Op           string  `json:"op"`
	Shape        []int   `json:"shape"`
	Runs         int     `json:"runs"` // a step
	Microseconds float64 `json:"microseconds"`
	Bytes        int64   `json:"bytes,omitempty"`
	Speed        float64 `json:"bytes_per_second,omitempty"`
	Peak         float64 `json:"peak_percent,omitempty"`
}

func runBenchKernels(ctx context.Context, d *deps, o BenchOptions, b backend.Backend, net *model.Network) error {
	ks, err := bench.Kernels(ctx, b, net, bench.Options{
		Train: o.Train, LossScale: o.Precision == "fp16", Steps: o.Steps, Warmup: o.Warmup, Now: d.now,
	})
	if err != nil {
		return err
	}
	r := benchKernelsReport{
		What: o.What, Device: b.Describe(), Model: o.Model, Train: o.Train, Batch: o.Batch, Input: []int{o.Channels, o.Size, o.Size}, Steps: o.Steps,
	}
	if p, ok := b.(backend.Bandwidth); ok {
		r.Peak = p.PeakBandwidth()
	}
	for _, k := range ks {
		x := kernelReport{Op: string(k.Op), Shape: k.Shape, Runs: k.Runs, Microseconds: float64(k.Time) / float64(time.Microsecond), Bytes: k.Bytes}
		if k.Bytes > 0 && k.Time > 0 {
			x.Speed = k.BytesPerSecond()
		}
		if r.Peak > 0 {
			x.Peak = 100 * x.Speed / r.Peak
		}
		r.Kernels = append(r.Kernels, x)
	}
	if o.JSON {
		return writeJSON(d.Out, r)
	}
	return r.print(d.Out)
}

func (r benchKernelsReport) print(w io.Writer) error {
	what := "inference"
	if r.Train {
		what = "training"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "kernels of %s, %s, batch %d, image %s, %d steps, on %s\n", r.Model, what, r.Batch, graph.Shape(r.Input), r.Steps, r.Device)
	const row = "%-26s %-18s %5s %12s %10s %9s %7s\n"
	fmt.Fprintf(&b, row, "op", "shape", "runs", "us a run", "MB", "GB/s", "peak")
	total := 0.0
	for _, k := range r.Kernels {
		total += k.Microseconds * float64(k.Runs)
		fmt.Fprintf(&b, row, k.Op, graph.Shape(k.Shape), fmt.Sprint(k.Runs), fmt.Sprintf("%.1f", k.Microseconds),
			known("%.2f", float64(k.Bytes)/1e6), known("%.1f", k.Speed/1e9), known("%.0f %%", k.Peak))
	}
	fmt.Fprintf(&b, "%.2f ms a step\n", total/1e3)
	_, err := io.WriteString(w, b.String())
	return err
}

// known formats x, or is a dash for 0.
func known(format string, x float64) string {
	if x == 0 {
		return "-"
	}
	return fmt.Sprintf(format, x)
}
