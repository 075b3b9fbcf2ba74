package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"gorgonia.org/tensor"

	"senet/internal/checkpoint"
	"senet/internal/config"
	"senet/internal/data"
)

// PredictOptions are the flags of `senet predict`.
type PredictOptions struct {
	Config     ConfigOptions
	Checkpoint string
	Device     string
	Top        int
	Logits     bool
	JSON       bool
	Images     []string
}

// predictReport is the --json object of `senet predict`.
type predictReport struct {
	Model  string          `json:"model"`
	Images []imagePredicts `json:"images"`
}

type imagePredicts struct {
	Path   string          `json:"path"`
	Top    []namedPredicts `json:"top"`
	Logits []float32       `json:"logits,omitempty"` // with --logits
}

type namedPredicts struct {
	Class       int     `json:"class"`
	Name        string  `json:"name"`
	Probability float64 `json:"probability"`
}

func newPredictCmd(d *deps, run func(context.Context, *deps, PredictOptions) error) *cobra.Command {
	var o PredictOptions
	cmd := &cobra.Command{
		Use: "predict IMAGE...", Short: "Classify images with a checkpoint", Args: cobra.MinimumNArgs(1),
		Long: "Classify images (JPEG, PNG or GIF; resized to cover the network's input, then cropped at the\ncentre). A checkpoint folder carries its own config; a bare safetensors file needs --config.",
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Images = args
			return run(cmd.Context(), d, o)
		},
	}
	o.Config.addFlags(cmd)
	cmd.Flags().StringVar(&o.Checkpoint, "checkpoint", "", "checkpoint folder or safetensors file (required)")
	cmd.Flags().StringVar(&o.Device, "device", "", deviceHelp+" (default: the config's)")
	cmd.Flags().IntVar(&o.Top, "top", 5, "how many classes to print")
	cmd.Flags().BoolVar(&o.Logits, "logits", false, "also print the raw logits")
	cmd.Flags().BoolVar(&o.JSON, "json", false, "print one JSON object")
	return cmd
}

func runPredict(_ context.Context, d *deps, o PredictOptions) (err error) {
	if o.Checkpoint == "" || o.Top < 1 {
		return fmt.Errorf("%w: --checkpoint is required and --top is at least 1", errUsage)
	}
	cfg, classes, err := o.settings()
	if err != nil {
		return err
	}
	e, err := d.openEvaluator(cfg, 1, o.Checkpoint)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	r := predictReport{Model: cfg.Model.Name}
	for _, path := range o.Images {
		p, err := e.predict(path, cfg, classes, o)
		if err != nil {
			return err
		}
		r.Images = append(r.Images, p)
	}
	if o.JSON {
		return writeJSON(d.Out, r)
	}
	for _, p := range r.Images {
		fmt.Fprintln(d.Out, p.Path)
		for _, t := range p.Top {
			fmt.Fprintf(d.Out, "  %6.2f %%  %s\n", 100*t.Probability, t.Name)
		}
		if o.Logits {
			fmt.Fprintf(d.Out, "  logits %v\n", p.Logits)
		}
	}
	return nil
}

// settings are the config and class names: the checkpoint's own, or those of --config.
func (o PredictOptions) settings() (config.Config, []string, error) {
	_, manifest, err := checkpoint.LoadModel(o.Checkpoint)
	if err != nil {
		return config.Config{}, nil, err
	}
	var cfg config.Config
	var classes []string
	switch {
	case o.Config.Path != "":
		cfg, err = o.Config.load()
	case manifest == nil:
		err = fmt.Errorf("%w: %s is a bare model file: give its --config", errUsage, o.Checkpoint)
	default:
		cfg, err = config.Parse(o.Checkpoint, []byte(manifest.Config), o.Config.Sets)
	}
	if manifest != nil {
		classes = manifest.Classes
	}
	if o.Device != "" {
		cfg.Device = o.Device
	}
	return cfg, classes, err
}

// predict classifies one image file.
func (e *evaluator) predict(path string, cfg config.Config, classes []string, o PredictOptions) (imagePredicts, error) {
	size, channels := cfg.Data.ImageSize, cfg.Model.InChannels
	pixels, err := data.DecodeFile(path, data.View{
		H: size, W: size, C: channels, CropFraction: cfg.Data.CropFraction, Bilinear: cfg.Data.Interpolation == "bilinear",
	})
	if err != nil {
		return imagePredicts{}, err
	}
	rows, err := e.Logits(&data.Batch{
		Images: tensor.New(tensor.WithShape(1, size, size, channels), tensor.WithBacking(pixels)),
		Labels: tensor.New(tensor.WithShape(1), tensor.WithBacking([]int32{-1})),
		Size:   1,
	})
	if err != nil {
		return imagePredicts{}, err
	}
	out := imagePredicts{Path: path}
	if o.Logits {
		out.Logits = rows[0]
	}
	for _, p := range rank(rows[0], o.Top) {
		name := fmt.Sprintf("class %d", p.Class)
		if p.Class < len(classes) {
			name = classes[p.Class]
		}
		out.Top = append(out.Top, namedPredicts{p.Class, name, p.Probability})
	}
	return out, nil
}
