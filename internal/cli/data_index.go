package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"senet/internal/report"
)

// DataIndexOptions are the flags of `senet data index`.
type DataIndexOptions struct{ DataOptions }

func newDataIndexCmd(d *deps, run func(context.Context, *deps, DataIndexOptions) error) *cobra.Command {
	var o DataIndexOptions
	cmd := &cobra.Command{
		Use: "index", Short: "Save where each image lies, so that training starts at once", Args: cobra.NoArgs,
		Long: `Save the index of each split, train.senet-index and val.senet-index, to data.index_dir. Without one,
every command reads the names of all images, and the headers of tars, before it starts. An index
that no longer fits its tars or folders is refused; make it anew then.`,
		Example: "  senet data index --config configs/seresnet50-imagenet.yaml",
		RunE:    func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), d, o) },
	}
	o.addFlags(cmd)
	return cmd
}

func runDataIndex(_ context.Context, d *deps, o DataIndexOptions) error {
	_, set, err := o.load()
	if err != nil {
		return err
	}
	for _, s := range o.splits() {
		ix, err := set.Scan(s.split)
		if err != nil {
			return err
		}
		path := set.IndexFile(s.split)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("data.index_dir: %w", err)
		}
		if err := ix.Save(path); err != nil {
			return err
		}
		if _, err := fmt.Fprintf(d.Out, "%s: %s images in %d classes, index %s\n", s.name, report.Thousands(int64(ix.Len())), len(ix.ClassIDs()), path); err != nil {
			return err
		}
	}
	return nil
}
