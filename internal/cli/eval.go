package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"senet/internal/checkpoint"
	"senet/internal/config"
	"senet/internal/data"
	"senet/internal/model"
	"senet/internal/report"
	"senet/internal/train"
)

// EvalOptions are the flags of `senet eval`.
type EvalOptions struct {
	Config     ConfigOptions
	Checkpoint string
	Device     string
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
	Loss      float64 `json:"loss"`
	Params    int64   `json:"param_count"`
	ImageSize int     `json:"img_size"`
	Images    int     `json:"images"`
	Seconds   float64 `json:"seconds"`
	PeakBytes int64   `json:"planned_peak_bytes"`
	Confusion [][]int `json:"confusion"` // [true class][predicted class]
}

func newEvalCmd(d *deps, run func(context.Context, *deps, EvalOptions) error) *cobra.Command {
	var o EvalOptions
	cmd := &cobra.Command{
		Use: "eval", Short: "Evaluate a checkpoint on the test images", Args: cobra.NoArgs,
		Example: "  senet eval --config configs/seresnet20-fashion-mnist.yaml --checkpoint runs/seresnet20-fashion-mnist/best --report report.html",
		RunE:    func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), d, o) },
	}
	o.Config.addFlags(cmd)
	cmd.Flags().StringVar(&o.Checkpoint, "checkpoint", "", "checkpoint folder or safetensors file (required)")
	cmd.Flags().StringVar(&o.Device, "device", "", deviceHelp+" (default: the config's)")
	cmd.Flags().StringVar(&o.Report, "report", "", "also write an HTML report to this file")
	cmd.Flags().BoolVar(&o.JSON, "json", false, "print one JSON object")
	return cmd
}

func runEval(ctx context.Context, d *deps, o EvalOptions) (err error) {
	if o.Checkpoint == "" {
		return fmt.Errorf("%w: --checkpoint is required", errUsage)
	}
	cfg, err := o.Config.load()
	if err != nil {
		return err
	}
	if o.Device != "" {
		cfg.Device = o.Device
	}
	src, err := openSource(cfg, data.Test)
	if err != nil {
		return err
	}
	e, err := d.openEvaluator(cfg, cfg.Eval.BatchSize, o.Checkpoint)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()

	start := d.now()
	found, err := e.evaluate(ctx, cfg, src)
	if err != nil {
		return err
	}
	seconds := d.now().Sub(start).Seconds()
	if o.Report != "" {
		if err := writeReport(d, o, cfg, e, found); err != nil {
			return err
		}
	}
	if o.JSON {
		return writeJSON(d.Out, evalReport{
			Model: cfg.Model.Name, Top1: found.Top1, Top1Err: 100 - found.Top1, Top5: found.Top5, Top5Err: 100 - found.Top5, Loss: found.Loss,
			Params: e.params, ImageSize: cfg.Data.ImageSize, Images: found.Images, Seconds: seconds,
			PeakBytes: e.Memory().Peak(), Confusion: found.Confusion,
		})
	}
	_, err = fmt.Fprintf(d.Out, "%s on %d images: top-1 %.2f %%, top-5 %.2f %%, loss %.4f (%.0f img/s, planned peak memory %s)\n",
		cfg.Model.Name, found.Images, found.Top1, found.Top5, found.Loss, float64(found.Images)/seconds, report.FormatBytes(e.Memory().Peak()))
	return err
}

// evaluator is a loaded network on an open backend.
type evaluator struct {
	*train.Evaluator
	params  int64
	backend string // what runs it
	close   func() error
}

// Close frees the network and the backend.
func (e *evaluator) Close() error { return errors.Join(e.Evaluator.Close(), e.close()) }

// openEvaluator compiles the config's network on its device and loads a checkpoint into it.
func (d *deps) openEvaluator(cfg config.Config, batch int, path string) (*evaluator, error) {
	ts, _, err := checkpoint.LoadModel(path)
	if err != nil {
		return nil, err
	}
	net, err := model.Build(cfg.Model.Name, train.ModelOptions(cfg, batch))
	if err != nil {
		return nil, err
	}
	b, err := d.openBackend(cfg.Device, cfg.Threads)
	if err != nil {
		return nil, err
	}
	e, err := train.NewEvaluator(b, net)
	if err != nil {
		return nil, errors.Join(err, b.Close())
	}
	if err := e.Load(ts); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: load %s into %s: %w", checkpoint.ErrBad, path, cfg.Model.Name, err), e.Close(), b.Close())
	}
	out := &evaluator{Evaluator: e, backend: b.Describe(), close: b.Close}
	for _, v := range net.Graph.Params() {
		out.params += int64(v.Shape.Elems())
	}
	return out, nil
}

// evaluate scores every image and collects the confusion matrix and examples.
func (e *evaluator) evaluate(ctx context.Context, cfg config.Config, src data.Source) (report.Evaluation, error) {
	loader, err := data.NewLoader(src, data.LoaderOptions{BatchSize: cfg.Eval.BatchSize, Workers: cfg.Data.Workers})
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
	return report.Evaluation{
		Top1: score.Top1, Top5: score.Top5, Loss: score.Loss, Images: score.Images,
		Classes: src.Classes(), Confusion: c.confusion, Examples: c.examples(),
	}, nil
}

// collector gathers what the report shows of each prediction.
type collector struct {
	h, w, c   int
	confusion [][]int
	right     []report.Example // the first of each class that was predicted rightly
	wrong     []report.Example // the most confident mistakes, most confident first
}

// shownMistakes is one row of the report.
const shownMistakes = 10

func newCollector(src data.Source) *collector {
	k := len(src.Classes())
	c := &collector{confusion: make([][]int, k), right: make([]report.Example, k)}
	c.h, c.w, c.c = src.Shape()
	for i := range c.confusion {
		c.confusion[i] = make([]int, k)
	}
	return c
}

func (c *collector) add(b *data.Batch, logits [][]float32) error {
	labels, pixels := b.Labels.Data().([]int32), b.Images.Data().([]uint8)
	size := c.h * c.w * c.c
	for i, row := range logits {
		top := rank(row, 3)
		label, predicted := int(labels[i]), top[0].Class
		c.confusion[label][predicted]++
		isRight := label == predicted
		if isRight && c.right[label].Top != nil || !isRight && !c.ranks(top[0].Probability) {
			continue
		}
		e := report.Example{Pixels: slices.Clone(pixels[i*size : (i+1)*size]), H: c.h, W: c.w, C: c.c, Label: label, Top: top}
		if isRight {
			c.right[label] = e
			continue
		}
		c.wrong = append(c.wrong, e)
		slices.SortStableFunc(c.wrong, func(a, b report.Example) int { return compare(b.Top[0].Probability, a.Top[0].Probability) })
		c.wrong = c.wrong[:min(len(c.wrong), shownMistakes)]
	}
	return nil
}

// ranks reports whether a mistake of that confidence is among the most confident so far.
func (c *collector) ranks(p float64) bool {
	return len(c.wrong) < shownMistakes || p > c.wrong[len(c.wrong)-1].Top[0].Probability
}

func (c *collector) examples() []report.Example {
	seen := slices.DeleteFunc(slices.Clone(c.right), func(e report.Example) bool { return e.Top == nil })
	return append(seen, c.wrong...)
}

// writeReport writes the HTML report, with the training curves if the checkpoint lies in a run's folder.
func writeReport(d *deps, o EvalOptions, cfg config.Config, e *evaluator, found report.Evaluation) error {
	text, err := cfg.YAML()
	if err != nil {
		return err
	}
	found.Checkpoint = o.Checkpoint
	r := report.Report{Title: cfg.Model.Name + " on " + cfg.Data.Source, Eval: found, Config: text}
	r.Machine = []report.Fact{{Name: "machine", Value: e.backend}, {Name: "senet", Value: Version}, {Name: "planned peak memory of evaluation", Value: report.FormatBytes(e.Memory().Peak())}}
	metrics := filepath.Join(filepath.Dir(filepath.Clean(o.Checkpoint)), metricsFile)
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
