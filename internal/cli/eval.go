package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"senet/internal/data"
	"senet/internal/report"
)

// EvalOptions are the flags of `senet eval`.
type EvalOptions struct {
	Checkpoint CheckpointOptions
	Report     string // HTML file to write, or ""
	JSON       bool
}

// evalReport is the --json object of `senet eval`; the names are timm's validate.py's.
type evalReport struct {
	Model     string  `json:"model"`
	Top1      float64 `json:"top1"` // percent
	Top1Err   float64 `json:"top1_err"`
	Top5      float64 `json:"top5"`
	Top5Err   float64 `json:"top5_err"`
	Loss      float64 `json:"loss"` // mean over images
	Params    int64   `json:"param_count"`
	ImageSize int     `json:"img_size"` // pixels, height and width
	Images    int     `json:"images"`
	Seconds   float64 `json:"seconds"`
	PeakBytes int64   `json:"planned_peak_bytes"`
	Confusion [][]int `json:"confusion"` // images by [true class][predicted class]
}

func newEvalCmd(d *deps, run func(context.Context, *deps, EvalOptions) error) *cobra.Command {
	var o EvalOptions
	cmd := &cobra.Command{
		Use: "eval", Short: "Evaluate a checkpoint on the test images", Args: cobra.NoArgs,
		Long: `Evaluate a checkpoint on the test images of its data set. A checkpoint folder carries its own
config; a bare safetensors file needs --config.

--json prints {model, top1, top1_err, top5, top5_err, loss, param_count, img_size, images, seconds,
planned_peak_bytes, confusion}: accuracies and errors in percent, loss the mean over the images,
confusion the number of images by [true class][predicted class].`,
		Example: `  senet eval --checkpoint runs/seresnet20-fashion-mnist/best
  senet eval --checkpoint runs/seresnet20-fashion-mnist/best --report report.html`,
		RunE: func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), d, o) },
	}
	o.Checkpoint.addFlags(cmd)
	cmd.Flags().StringVar(&o.Report, "report", "", "also write an HTML report to this `file`")
	cmd.Flags().BoolVar(&o.JSON, "json", false, "print one JSON object")
	return cmd
}

func runEval(ctx context.Context, d *deps, o EvalOptions) (err error) {
	t, err := o.Checkpoint.load()
	if err != nil {
		return err
	}
	src, err := openSource(t.config, data.Test)
	if err != nil {
		return err
	}
	if err := t.checkClasses(src.Classes()); err != nil {
		return err
	}
	e, err := d.openEvaluator(t, t.config.Eval.BatchSize)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()

	start := d.now()
	found, err := e.evaluate(ctx, src)
	if err != nil {
		return err
	}
	found.Duration = d.now().Sub(start)
	if err := printEvaluation(d, o, e, found); err != nil {
		return err
	}
	warnOfLabels(d, found.Top1, len(found.Classes))
	if o.Report == "" {
		return nil
	}
	return writeReport(d, o, e, found)
}

func printEvaluation(d *deps, o EvalOptions, e *evaluator, found report.Evaluation) error {
	seconds, peak := found.Duration.Seconds(), e.Memory().Peak()
	if o.JSON {
		return writeJSON(d.Out, evalReport{
			Model: e.config.Model.Name, Top1: found.Top1, Top1Err: 100 - found.Top1, Top5: found.Top5, Top5Err: 100 - found.Top5, Loss: found.Loss,
			Params: e.params, ImageSize: e.config.Data.ImageSize, Images: found.Images, Seconds: seconds,
			PeakBytes: peak, Confusion: found.Confusion,
		})
	}
	_, err := fmt.Fprintf(d.Out, "%s on %s images: top-1 %.2f %%, top-5 %.2f %%, loss %.4f (%.0f img/s, planned peak memory %s)\n",
		e.config.Model.Name, report.Thousands(int64(found.Images)), found.Top1, found.Top5, found.Loss, float64(found.Images)/seconds, report.FormatBytes(peak))
	return err
}

// evaluate scores every image and collects the confusion matrix and examples.
func (e *evaluator) evaluate(ctx context.Context, src data.Source) (report.Evaluation, error) {
	loader, err := data.NewLoader(src, data.LoaderOptions{BatchSize: e.config.Eval.BatchSize, Workers: e.config.Data.Workers})
	if err != nil {
		return report.Evaluation{}, err
	}
	it := loader.Epoch(ctx, 0, 0)
	defer it.Close()
	c := newCollector(src)
	score, err := e.Evaluate(it, c.add)
	if err != nil {
		return report.Evaluation{}, err
	}
	if err := e.finite(score.Loss, "the loss"); err != nil {
		return report.Evaluation{}, err
	}
	return report.Evaluation{
		Checkpoint: e.path, Top1: score.Top1, Top5: score.Top5, Loss: score.Loss, Images: score.Images,
		Classes: src.Classes(), Confusion: c.confusion, Examples: c.examples(),
	}, nil
}

// writeReport writes the HTML report, with the training curves if the checkpoint lies in a run's folder.
func writeReport(d *deps, o EvalOptions, e *evaluator, found report.Evaluation) error {
	text, err := e.config.YAML()
	if err != nil {
		return err
	}
	r := report.Report{Title: e.config.Model.Name + " on " + e.config.Data.Source, Eval: found, Config: text}
	r.Machine = []report.Fact{
		{Name: "machine", Value: e.backend.Describe()},
		{Name: "senet", Value: Version},
		{Name: "planned peak memory of evaluation", Value: report.FormatBytes(e.Memory().Peak())},
	}
	metrics := filepath.Join(filepath.Dir(filepath.Clean(e.path)), metricsFile)
	if _, err := os.Stat(metrics); err == nil {
		if r.Metrics, err = report.ReadMetrics(metrics); err != nil {
			return err
		}
	}
	f, err := os.Create(o.Report)
	if err != nil {
		return fmt.Errorf("--report: %w", err)
	}
	if err := errors.Join(report.WriteHTML(f, r), f.Close()); err != nil {
		return fmt.Errorf("write report %s: %w", o.Report, err)
	}
	fmt.Fprintf(d.Err, "report written to %s\n", o.Report)
	return nil
}
