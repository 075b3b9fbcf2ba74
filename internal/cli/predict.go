package cli

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"gorgonia.org/tensor"

	"senet/internal/data"
)

// PredictOptions are the flags and arguments of `senet predict`.
type PredictOptions struct {
	Checkpoint CheckpointOptions
	Top        int
	Logits     bool
	JSON       bool
	Images     []string
}

// predictReport is the --json object of `senet predict`.
type predictReport struct {
	Model  string       `json:"model"`
	Images []prediction `json:"images"`
}

// prediction is what the network makes of one image file.
type prediction struct {
	Path   string       `json:"path"`
	Top    []namedClass `json:"top"`              // the most probable first
	Logits []float32    `json:"logits,omitempty"` // of every class, with --logits
}

// namedClass is a class with its probability, from 0 to 1.
type namedClass struct {
	Class       int     `json:"class"`
	Name        string  `json:"name"`
	Probability float64 `json:"probability"`
}

func newPredictCmd(d *deps, run func(context.Context, *deps, PredictOptions) error) *cobra.Command {
	var o PredictOptions
	cmd := &cobra.Command{
		Use: "predict IMAGE...", Short: "Classify images with a checkpoint", Args: cobra.MinimumNArgs(1),
		Long: `Classify images (JPEG, PNG, GIF or WebP), resized and cropped at the centre to the network's
input as data.crop_fraction and data.interpolation say. A checkpoint folder carries its own config;
a bare safetensors file needs --config.

--json prints {model, images}: images are a list of {path, top, logits}, top a list of
{class, name, probability}, the most probable first; logits only with --logits.`,
		Example: "  senet predict --checkpoint runs/seresnet20-fashion-mnist/best --top 3 photo.png",
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Images = args
			return run(cmd.Context(), d, o)
		},
		ValidArgsFunction: cobra.FixedCompletions([]string{"jpg", "jpeg", "png", "gif", "webp"}, cobra.ShellCompDirectiveFilterFileExt),
	}
	o.Checkpoint.addFlags(cmd)
	cmd.Flags().IntVar(&o.Top, "top", 5, "`number` of classes to print of each image")
	cmd.Flags().BoolVar(&o.Logits, "logits", false, "also print the raw logits")
	cmd.Flags().BoolVar(&o.JSON, "json", false, "print one JSON object")
	return cmd
}

func runPredict(ctx context.Context, d *deps, o PredictOptions) (err error) {
	if o.Top < 1 {
		return fmt.Errorf("%w: --top %d: want at least 1", errUsage, o.Top)
	}
	t, err := o.Checkpoint.load()
	if err != nil {
		return err
	}
	e, err := d.openEvaluator(t, 1)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	r := predictReport{Model: t.config.Model.Name}
	for _, path := range o.Images {
		if err := ctx.Err(); err != nil {
			return err
		}
		p, err := e.predict(path, o)
		if err != nil {
			return err
		}
		if o.JSON {
			r.Images = append(r.Images, p)
		} else if err := p.print(d.Out); err != nil {
			return err
		}
	}
	if o.JSON {
		return writeJSON(d.Out, r)
	}
	return nil
}

func (p prediction) print(w io.Writer) error {
	text := p.Path + "\n"
	for _, t := range p.Top {
		text += fmt.Sprintf("  %6.2f %%  %s\n", 100*t.Probability, t.Name)
	}
	if p.Logits != nil {
		text += fmt.Sprintf("  logits %v\n", p.Logits)
	}
	_, err := io.WriteString(w, text)
	return err
}

// predict classifies one image file.
func (e *evaluator) predict(path string, o PredictOptions) (prediction, error) {
	size, channels := e.config.Data.ImageSize, e.config.Model.InChannels
	pixels, err := data.DecodeFile(path, data.View{
		H: size, W: size, C: channels,
		CropFraction: e.config.Data.CropFraction, Bilinear: e.config.Data.Interpolation == "bilinear",
	})
	if err != nil {
		return prediction{}, err
	}
	rows, err := e.Logits(&data.Batch{
		Images: tensor.New(tensor.WithShape(1, size, size, channels), tensor.WithBacking(pixels)),
		Labels: tensor.New(tensor.WithShape(1), tensor.WithBacking([]int32{-1})),
		Size:   1,
	})
	if err != nil {
		return prediction{}, err
	}
	p := prediction{Path: path}
	for i, x := range rows[0] {
		if err := e.finite(float64(x), fmt.Sprintf("logit %d of %s", i, path)); err != nil {
			return prediction{}, err
		}
	}
	if o.Logits {
		p.Logits = rows[0]
	}
	for _, c := range rank(rows[0], o.Top) {
		name := fmt.Sprintf("class %d", c.Class)
		if c.Class < len(e.classes) {
			name = e.classes[c.Class]
		}
		p.Top = append(p.Top, namedClass{c.Class, name, c.Probability})
	}
	return p, nil
}
