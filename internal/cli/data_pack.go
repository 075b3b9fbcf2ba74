package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"senet/internal/data"
	"senet/internal/report"
)

// DataPackOptions are the flags of `senet data pack`.
type DataPackOptions struct {
	DataOptions
	Out       string
	PerShard  int
	ShortSide int
	Quality   int
	Workers   int
}

func newDataPackCmd(d *deps, run func(context.Context, *deps, DataPackOptions) error) *cobra.Command {
	var o DataPackOptions
	cmd := &cobra.Command{
		Use: "pack", Short: "Write the images to a few tars, which disks read faster than many files", Args: cobra.NoArgs,
		Long: `Write the images of each split to tar shards, train-000000.tar and so on, with the list of classes
and an index: a data set for data.source webdataset. Training images are mixed. What a shard holds
depends on the images and flags alone: after an interruption the same command goes on, to the same
bytes. With --short-side, larger images are shrunk and encoded anew.`,
		Example: `  senet data pack --config configs/seresnet50-imagenet.yaml --out /data/packed
  senet data pack --config configs/seresnet50-imagenet.yaml --out /data/packed --short-side 500 --quality 90`,
		RunE: func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), d, o) },
	}
	o.addFlags(cmd)
	f := cmd.Flags()
	f.StringVar(&o.Out, "out", "", "`folder` to write to (required)")
	f.IntVar(&o.PerShard, "per-shard", 1000, "`images` of a shard")
	f.IntVar(&o.ShortSide, "short-side", 0, "shrink the shorter side to so many `pixels`; 0 keeps every file as it is")
	f.IntVar(&o.Quality, "quality", 90, "of the JPEGs that were shrunk, from 1 to `100`")
	f.IntVar(&o.Workers, "workers", 0, "`shards` to write at the same time; 0: one per processor")
	_ = cmd.MarkFlagDirname("out")
	return cmd
}

func (o DataPackOptions) check() error {
	switch {
	case o.Out == "":
		return fmt.Errorf("%w: --out is required, e.g. --out packed", errUsage)
	case o.PerShard < 1 || o.ShortSide < 0 || o.Workers < 0 || o.Quality < 1 || o.Quality > 100:
		return fmt.Errorf("%w: --per-shard %d, --short-side %d, --workers %d, --quality %d: want at least 1, 0 and 0, and 1 to 100",
			errUsage, o.PerShard, o.ShortSide, o.Workers, o.Quality)
	}
	return nil
}

func runDataPack(ctx context.Context, d *deps, o DataPackOptions) error {
	if err := o.check(); err != nil {
		return err
	}
	cfg, set, err := o.load()
	if err != nil {
		return err
	}
	packed := data.Set{Source: data.WebDataset, Dir: o.Out, Train: data.Auto, Val: data.Auto, IndexDir: data.Auto, Classes: cfg.Model.Classes}
	for _, s := range o.splits() {
		ix, err := openSplit(cfg, set, s)
		if err != nil {
			return err
		}
		p := data.PackOptions{Name: s.name, PerShard: o.PerShard, Shuffle: s.split == data.Train, ShortSide: o.ShortSide, Quality: o.Quality, Workers: o.Workers}
		shards := p.Shards(ix.Len())
		tell := d.progress(s.name+": packing", "shards", shards)
		if err := data.Pack(ctx, ix, o.Out, p, tell); err != nil {
			return err
		}
		if err := saveIndex(packed, s, ix.Len()); err != nil {
			return err
		}
		if _, err := fmt.Fprintf(d.Out, "%s: %s images in %d shards in %s\n", s.name, report.Thousands(int64(ix.Len())), shards, o.Out); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(d.Out, "use them with data.source: %s, data.dir: %s\n", data.WebDataset, o.Out)
	return err
}

// saveIndex indexes what was packed, and so reads all of its headers.
func saveIndex(packed data.Set, s namedSplit, images int) error {
	ix, err := packed.Scan(s.split)
	if err != nil {
		return err
	}
	if ix.Len() != images {
		return errors.Join(data.ErrBadData, fmt.Errorf("%s holds %d images of split %s, want %d: it has shards that are not of this packing", packed.Dir, ix.Len(), s.name, images))
	}
	return ix.Save(packed.IndexFile(s.split))
}
