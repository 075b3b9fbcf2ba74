package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"time"

	"senet/internal/data"
)

// benchDataReport is the --json object of `senet bench data`.
type benchDataReport struct {
	What    string  `json:"what"`
	Source  string  `json:"source"`
	Batch   int     `json:"batch"`
	Steps   int     `json:"steps"`
	Workers int     `json:"workers"`
	Speed   float64 `json:"images_per_second"`
	PerCore float64 `json:"images_per_second_per_core"` // of the cores that the workers can keep busy
}

// runBenchData measures how fast the loader makes training batches when nobody else needs the processor.
func runBenchData(ctx context.Context, d *deps, o BenchOptions) error {
	if o.Steps < 1 || o.Warmup < 0 {
		return fmt.Errorf("%w: --steps %d, --warmup %d: want at least 1 and 0", errUsage, o.Steps, o.Warmup)
	}
	cfg, src, options, err := trainingImages(o.Config)
	if err != nil {
		return err
	}
	loader, err := data.NewLoader(src, options)
	if err != nil {
		return err
	}
	took, err := drawBatches(ctx, d, loader, o)
	if err != nil {
		return err
	}
	cores := runtime.GOMAXPROCS(0)
	r := benchDataReport{What: o.What, Source: cfg.Data.Source, Batch: options.BatchSize, Steps: o.Steps, Workers: options.Workers}
	if r.Workers == 0 {
		r.Workers = cores
	}
	r.Speed = float64(o.Steps*r.Batch) / took.Seconds()
	r.PerCore = r.Speed / float64(min(r.Workers, cores))
	if o.JSON {
		return writeJSON(d.Out, r)
	}
	_, err = fmt.Fprintf(d.Out, "data %s, batch %d, %d steps: %.1f img/s with %d workers, %.1f img/s per core\n",
		r.Source, r.Batch, r.Steps, r.Speed, r.Workers, r.PerCore)
	return err
}

// drawBatches draws the batches that count, after those that do not, and returns how long they took. It starts as
// many epochs as it needs.
func drawBatches(ctx context.Context, d *deps, loader *data.Loader, o BenchOptions) (time.Duration, error) {
	var start time.Time
	drawn := 0
	for epoch := 0; ; epoch++ {
		it := loader.Epoch(ctx, epoch, 0)
		for {
			if drawn == o.Warmup && start.IsZero() {
				start = d.now()
			}
			if drawn == o.Warmup+o.Steps {
				it.Close()
				return d.now().Sub(start), nil
			}
			b, err := it.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				it.Close()
				return 0, err
			}
			drawn++
			it.Recycle(b)
		}
		it.Close()
	}
}
