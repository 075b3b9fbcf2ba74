package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"senet/internal/config"
	"senet/internal/data"
	"senet/internal/model"
	"senet/internal/report"
	"senet/internal/train"
)

// TrainOptions are the flags of `senet train`.
type TrainOptions struct {
	Config ConfigOptions
	Device string
	Resume string
}

func newTrainCmd(d *deps, run func(context.Context, *deps, TrainOptions) error) *cobra.Command {
	var o TrainOptions
	cmd := &cobra.Command{
		Use: "train", Short: "Train a network", Args: cobra.NoArgs,
		Long: `Train the network of a config. Checkpoints, metrics.jsonl and TensorBoard events go to
output.dir. SIGINT (Ctrl-C) and SIGTERM finish the step, save a checkpoint and stop;
--resume goes on from there.`,
		Example: `  senet train --config configs/seresnet20-fashion-mnist.yaml --set train.epochs=1
  senet train --config configs/seresnet20-fashion-mnist.yaml --resume auto`,
		RunE: func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), d, o) },
	}
	o.Config.addFlags(cmd)
	addDeviceFlag(cmd, &o.Device)
	cmd.Flags().StringVar(&o.Resume, "resume", "", "go on from this `checkpoint`; auto takes the newest valid one in output.dir, if there is one")
	return cmd
}

func runTrain(ctx context.Context, d *deps, o TrainOptions) error {
	cfg, err := o.Config.load()
	if err != nil {
		return err
	}
	if o.Device != "" {
		cfg.Device = o.Device
	}
	if _, err := model.Build(cfg.Model.Name, train.ModelOptions(cfg, 1)); err != nil { // before anything is written
		return fmt.Errorf("%w: %w", config.ErrConfig, err)
	}
	trainSet, err := openSource(cfg, data.Train)
	if err != nil {
		return err
	}
	valSet, err := openSource(cfg, data.Test)
	if err != nil {
		return err
	}
	b, err := d.openBackend(cfg.Device, cfg.Threads)
	if err != nil {
		return err
	}
	sink, err := d.openSinks(cfg, o)
	if err != nil {
		return errors.Join(err, b.Close())
	}
	_, err = train.Run(ctx, train.Setup{
		Config: cfg, Backend: b, Train: trainSet, Val: valSet, Sink: sink,
		Libraries: libraries(), Resume: o.Resume, Now: d.now,
		Notef: func(format string, args ...any) { fmt.Fprintf(d.Err, format+"\n", args...) },
	})
	return errors.Join(err, sink.Close(), b.Close())
}

// openSinks makes the run's folder and everything that records into it.
func (d *deps) openSinks(cfg config.Config, o TrainOptions) (report.Sink, error) {
	if err := os.MkdirAll(cfg.Output.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("output.dir: %w", err)
	}
	sinks := []report.Sink{report.NewTerminal(d.Out, report.TerminalOptions{TTY: d.OutTTY, NoColor: d.NoColor, Now: d.now})}
	jsonl, err := report.NewJSONL(filepath.Join(cfg.Output.Dir, metricsFile))
	if err != nil {
		return nil, err
	}
	sinks = append(sinks, jsonl)
	if cfg.Output.TensorBoard {
		events, err := report.NewTensorBoard(filepath.Join(cfg.Output.Dir, "tensorboard"))
		if err != nil {
			return nil, errors.Join(err, jsonl.Close())
		}
		sinks = append(sinks, events)
	}
	return report.Tee(sinks...), nil
}

// metricsFile is the run's JSONL record within output.dir.
const metricsFile = "metrics.jsonl"

// openSource opens the data set that the config names.
func openSource(cfg config.Config, split data.Split) (data.Source, error) {
	src, err := data.OpenFashionMNIST(cfg.Data.Dir, split)
	if err != nil {
		return nil, err
	}
	h, w, c := src.Shape()
	if h != cfg.Data.ImageSize || w != cfg.Data.ImageSize || c != cfg.Model.InChannels || len(src.Classes()) != cfg.Model.Classes {
		return nil, fmt.Errorf("%w: data.source %s has %dx%d images of %d channels in %d classes, but the config says data.image_size %d, model.in_channels %d, model.classes %d",
			config.ErrConfig, cfg.Data.Source, h, w, c, len(src.Classes()), cfg.Data.ImageSize, cfg.Model.InChannels, cfg.Model.Classes)
	}
	return src, nil
}
