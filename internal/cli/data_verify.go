package cli

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"senet/internal/data"
	"senet/internal/report"
)

// DataVerifyOptions are the flags of `senet data verify`.
type DataVerifyOptions struct {
	DataOptions
	JSON bool
}

// verifyReport is the --json object of `senet data verify`.
type verifyReport struct {
	Splits []verifiedSplit `json:"splits"`
}

// verifiedSplit is what was found in a split.
type verifiedSplit struct {
	Split   string   `json:"split"`
	Images  int      `json:"images"`
	Classes int      `json:"classes"`
	Bad     []string `json:"bad"` // one line for each image that cannot be read
}

func newDataVerifyCmd(d *deps, run func(context.Context, *deps, DataVerifyOptions) error) *cobra.Command {
	var o DataVerifyOptions
	cmd := &cobra.Command{
		Use: "verify", Short: "Decode every image once and check the labels", Args: cobra.NoArgs,
		Long: `Decode every image once, list those that cannot be read, and check that the labels are what they
seem: the same classes in training and validation, none of the orders of classes that give an
accuracy of 0.1 %. Exits with 3 if anything is wrong.

--json prints {splits}: a list of {split, images, classes, bad}, bad with a line for each image that
cannot be read.`,
		Example: "  senet data verify --config configs/seresnet50-imagenet.yaml",
		RunE:    func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), d, o) },
	}
	o.addFlags(cmd)
	cmd.Flags().BoolVar(&o.JSON, "json", false, "print one JSON object")
	return cmd
}

func runDataVerify(ctx context.Context, d *deps, o DataVerifyOptions) error {
	cfg, set, err := o.load()
	if err != nil {
		return err
	}
	var r verifyReport
	var classes []string
	images, bad := 0, 0
	for _, s := range o.splits() {
		ix, err := openSplit(cfg, set, s)
		if err != nil {
			return err
		}
		if classes != nil {
			if err := sameClasses(classes, ix.Classes()); err != nil {
				return fmt.Errorf("%w: %s: training and validation images: %w", data.ErrBadData, set.Dir, err)
			}
		}
		classes = ix.Classes()
		failed, err := data.Verify(ctx, ix, cfg.Data.Workers, d.progress(s.name+": decoding", "images", ix.Len()))
		if err != nil {
			return err
		}
		v := verifiedSplit{s.name, ix.Len(), len(classes), []string{}}
		for _, err := range failed {
			v.Bad = append(v.Bad, strings.TrimPrefix(err.Error(), data.ErrBadData.Error()+": "))
		}
		r.Splits = append(r.Splits, v)
		images, bad = images+v.Images, bad+len(v.Bad)
	}
	if err := r.write(d, o.JSON); err != nil {
		return err
	}
	if bad > 0 {
		return fmt.Errorf("%w: %s: %d of %s images cannot be read", data.ErrBadData, set.Dir, bad, report.Thousands(int64(images)))
	}
	return nil
}

func (r verifyReport) write(d *deps, asJSON bool) error {
	if asJSON {
		return writeJSON(d.Out, r)
	}
	for _, s := range r.Splits {
		text := fmt.Sprintf("%s: %s images in %d classes, %d cannot be read\n", s.Split, report.Thousands(int64(s.Images)), s.Classes, len(s.Bad))
		for _, line := range s.Bad {
			text += "  " + line + "\n"
		}
		if _, err := fmt.Fprint(d.Out, text); err != nil {
			return err
		}
	}
	return nil
}

// progressEvery is how often long work says how far it is.
const progressEvery = 10 * time.Second

// progress returns what tells the user from time to time how many things of all are done.
func (d *deps) progress(what, things string, all int) func(done int) {
	var mu sync.Mutex
	last := d.now()
	return func(done int) {
		mu.Lock()
		defer mu.Unlock()
		if now := d.now(); now.Sub(last) >= progressEvery {
			last = now
			fmt.Fprintf(d.Err, "%s: %s of %s %s\n", what, report.Thousands(int64(done)), report.Thousands(int64(all)), things)
		}
	}
}
