package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"senet/internal/report"
)

// ReportOptions are the arguments and flags of `senet report`.
type ReportOptions struct {
	Runs []string // folders of runs, or their JSONL files
	Out  string   // HTML file to write
}

func newReportCmd(d *deps, run func(context.Context, *deps, ReportOptions) error) *cobra.Command {
	var o ReportOptions
	cmd := &cobra.Command{
		Use: "report RUN...", Short: "Show the curves and figures of training runs side by side", Args: cobra.RangeArgs(1, report.MaxRuns),
		Long: `Write one HTML file, which opens offline, about training runs: loss, top-1, learning rate, speed and
SE gates as curves, the final figures, and where the configs differ. A RUN is the output.dir of a
training, finished or not, or its ` + metricsFile + `.`,
		Example: `  senet report runs/resnet20 runs/seresnet20 --out compared.html`,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Runs = args
			return run(cmd.Context(), d, o)
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveDefault // files
		},
	}
	cmd.Flags().StringVar(&o.Out, "out", "report.html", "HTML `file` to write")
	return cmd
}

func runReport(_ context.Context, d *deps, o ReportOptions) error {
	if err := writeComparison(o.Runs, o.Out); err != nil {
		return err
	}
	fmt.Fprintf(d.Err, "report written to %s\n", o.Out)
	return nil
}

// writeComparison writes the HTML file out about runs.
func writeComparison(runs []string, out string) error {
	var named []report.NamedRun
	for _, path := range runs {
		name := filepath.Clean(path)
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			path = filepath.Join(path, metricsFile)
		}
		m, err := report.ReadMetrics(path)
		if err != nil {
			return err
		}
		if m.Run.BatchesPerEpoch == 0 {
			return fmt.Errorf("%w: %s has no run", report.ErrBadRecord, path)
		}
		named = append(named, report.NamedRun{Name: name, Metrics: m})
	}
	f, err := os.Create(out)
	if err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	if err := errors.Join(report.WriteComparison(f, named), f.Close()); err != nil {
		return fmt.Errorf("write report %s: %w", out, err)
	}
	return nil
}
