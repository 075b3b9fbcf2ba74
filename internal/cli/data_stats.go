package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"senet/internal/report"
)

// DataStatsOptions are the flags of `senet data stats`.
type DataStatsOptions struct {
	DataOptions
	JSON bool
}

// statsReport is the --json object of `senet data stats`.
type statsReport struct {
	Classes []string     `json:"classes"` // by label
	Splits  []splitStats `json:"splits"`
}

// splitStats is how many images a split has.
type splitStats struct {
	Split  string `json:"split"`
	Images int    `json:"images"`
	Counts []int  `json:"counts"` // by label
	Least  int    `json:"least"`  // of the counts
	Median int    `json:"median"`
	Most   int    `json:"most"`
}

func newDataStatsCmd(d *deps, run func(context.Context, *deps, DataStatsOptions) error) *cobra.Command {
	var o DataStatsOptions
	cmd := &cobra.Command{
		Use: "stats", Short: "Show the classes, their labels and how many images each has", Args: cobra.NoArgs,
		Long: `Show the classes in the order of their labels, with how many images each has.

--json prints {classes, splits}: the names of the classes by label, and a list of {split, images,
counts, least, median, most}, counts by label and the last three of the counts.`,
		Example: "  senet data stats --config configs/seresnet50-imagenet.yaml --split val",
		RunE:    func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), d, o) },
	}
	o.addFlags(cmd)
	cmd.Flags().BoolVar(&o.JSON, "json", false, "print one JSON object")
	return cmd
}

func runDataStats(_ context.Context, d *deps, o DataStatsOptions) error {
	_, set, err := o.load()
	if err != nil {
		return err
	}
	var r statsReport
	for _, s := range o.splits() {
		ix, err := set.Open(s.split)
		if err != nil {
			return err
		}
		classes := ix.Classes()
		if len(classes) > len(r.Classes) {
			r.Classes = classes
		}
		counts := make([]int, len(classes))
		for i := range ix.Len() {
			counts[ix.Label(i)]++
		}
		sorted := slices.Sorted(slices.Values(counts))
		r.Splits = append(r.Splits, splitStats{s.name, ix.Len(), counts, sorted[0], sorted[len(sorted)/2], sorted[len(sorted)-1]})
	}
	if o.JSON {
		return writeJSON(d.Out, r)
	}
	return r.print(d.Out)
}

func (r statsReport) print(w io.Writer) error {
	var b strings.Builder
	for _, s := range r.Splits {
		fmt.Fprintf(&b, "%s: %s images in %d classes, %d to %d of each, median %d\n",
			s.Split, report.Thousands(int64(s.Images)), len(s.Counts), s.Least, s.Most, s.Median)
	}
	b.WriteString("\n label")
	for _, s := range r.Splits {
		fmt.Fprintf(&b, " %8s", s.Split)
	}
	b.WriteString("  class\n")
	for label, name := range r.Classes {
		fmt.Fprintf(&b, "%6d", label)
		for _, s := range r.Splits {
			count := 0
			if label < len(s.Counts) {
				count = s.Counts[label]
			}
			fmt.Fprintf(&b, " %8d", count)
		}
		fmt.Fprintf(&b, "  %s\n", name)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
