package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"senet/internal/backend"
	"senet/internal/config"
	"senet/internal/data"
	"senet/internal/metrics"
	"senet/internal/model"
	"senet/internal/report"
	"senet/internal/train"
)

// TrainOptions are the flags of `senet train`.
type TrainOptions struct {
	Config    ConfigOptions
	Device    string
	Precision string
	Resume    string
	// ForceConfig resumes with a changed config.
	ForceConfig bool
	NProc       nprocFlag
	MaxRestarts int
}

func newTrainCmd(d *deps, run func(context.Context, *deps, TrainOptions) error) *cobra.Command {
	var o TrainOptions
	cmd := &cobra.Command{
		Use: "train", Short: "Train a network", Args: cobra.NoArgs,
		Long: `Train the network of a config. Checkpoints, metrics.jsonl and TensorBoard events go to
output.dir. SIGINT (Ctrl-C) and SIGTERM finish the step, save a checkpoint and stop;
--resume goes on from there, with the config that the run was begun with; where to compute,
how fast and what to keep may change.

--nproc starts several ranks on this machine, which share each update's images; mpirun, srun and
torchrun's variables start them on several. docs/distributed.md has the details.`,
		Example: `  senet train --config configs/seresnet20-fashion-mnist.yaml --set train.epochs=1
  senet train --config configs/seresnet20-fashion-mnist.yaml --resume auto
  senet train --config configs/seresnet50-imagenet.yaml --nproc auto --max-restarts 3`,
		RunE: func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), d, o) },
	}
	o.Config.addFlags(cmd)
	addDeviceFlag(cmd, &o.Device)
	addPrecisionFlag(cmd, &o.Precision)
	cmd.Flags().StringVar(&o.Resume, "resume", "", "go on from this `checkpoint`; auto takes the newest valid one in output.dir, if there is one")
	cmd.Flags().BoolVar(&o.ForceConfig, "force-config", false, "resume although config keys that change the result have changed")
	cmd.Flags().Var(&o.NProc, "nproc", "start so many ranks on this machine; auto: one on each GPU, on the CPU one; 0 or 1: train in this process")
	_ = cmd.RegisterFlagCompletionFunc("nproc", cobra.FixedCompletions([]string{"auto"}, cobra.ShellCompDirectiveNoFileComp))
	cmd.Flags().IntVar(&o.MaxRestarts, "max-restarts", 0, "after a crash, go on from the last checkpoint in new processes, at most so many `times`")
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
	if o.Precision != "" {
		cfg.Precision = o.Precision
	}
	if _, err := model.Build(cfg.Model.Name, train.ModelOptions(cfg, 1)); err != nil { // before anything is written
		return fmt.Errorf("%w: %w", config.ErrConfig, err)
	}
	if l, err := newLauncher(o, cfg); l != nil || err != nil {
		if err != nil {
			return err
		}
		return l.run(d)
	}
	t, err := d.joinTeam(ctx, cfg.Device)
	if err != nil {
		return err
	}
	err = t.named(d.train(ctx, o, cfg, t))
	if err == nil || errors.Is(err, train.ErrStopped) || errors.Is(err, train.ErrDiverged) { // on all ranks alike
		err = errors.Join(err, t.leave(d))
	}
	return err
}

// train trains in this process, alone or as one rank of a team.
func (d *deps) train(ctx context.Context, o TrainOptions, cfg config.Config, t *team) error {
	sets, err := orCancelled(ctx, func() (s [2]data.Source, err error) {
		s[0], s[1], err = openSources(cfg)
		return s, err
	})
	if err != nil {
		return err
	}
	b, err := t.openBackend(d, cfg)
	if err != nil {
		return err
	}
	facts, err := t.facts(b, sets)
	if err != nil {
		return errors.Join(err, b.Close())
	}
	sink := report.Tee()
	if t.first() {
		if sink, err = d.openSinks(cfg); err != nil {
			return errors.Join(err, b.Close())
		}
	}
	beat, stop := t.watch(d, cfg.Train.Watchdog)
	_, err = train.Run(ctx, train.Setup{
		Config: cfg, Backend: b, Train: sets[0], Val: sets[1], Sink: sink,
		Libraries: libraries(), Resume: o.Resume, ForceConfig: o.ForceConfig, Now: d.now, Notef: t.notef(d),
		Group: t.group, Facts: facts, Beat: beat, GPU: gpuUsage(b, d.now),
	})
	stop()
	if err = errors.Join(err, sink.Close(), closeDevice(ctx, b)); err != nil || !t.first() {
		return err
	}
	return d.writeCurves(cfg.Output.Dir)
}

// orCancelled is f's outcome, or the context's error as soon as ctx is cancelled. It is for what may take long and has
// nothing to save: f is then left to itself, since the process is about to end.
func orCancelled[T any](ctx context.Context, f func() (T, error)) (T, error) {
	type outcome struct {
		value T
		err   error
	}
	done := make(chan outcome, 1)
	go func() {
		value, err := f()
		done <- outcome{value, err}
	}()
	select {
	case o := <-done:
		return o.value, o.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}

// closeDevice closes b. Once ctx is cancelled it waits a second at most: the device may still compile what nobody waits for, and
// the process is about to end.
func closeDevice(ctx context.Context, b backend.Backend) error {
	if ctx.Err() == nil {
		return b.Close()
	}
	done := make(chan error, 1)
	go func() { done <- b.Close() }()
	select {
	case err := <-done:
		return err
	case <-time.After(time.Second):
		return nil
	}
}

// openSinks makes the run's folder and everything that shows the run or records into the folder.
func (d *deps) openSinks(cfg config.Config) (_ report.Sink, err error) {
	sinks := []report.Sink{report.NewTerminal(d.Out, report.TerminalOptions{TTY: d.OutTTY, NoColor: d.NoColor, Now: d.now})}
	defer func() {
		if err != nil {
			err = errors.Join(err, report.Tee(sinks...).Close())
		}
	}()
	if port := cfg.Output.MetricsPort; port != 0 { // first: a port in use leaves no folder behind
		server, err := metrics.Listen(port)
		if err != nil {
			return nil, fmt.Errorf("output.metrics_port: %w", err)
		}
		sinks = append(sinks, server)
	}
	if err := os.MkdirAll(cfg.Output.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("output.dir: %w", err)
	}
	jsonl, err := report.NewJSONL(filepath.Join(cfg.Output.Dir, metricsFile))
	if err != nil {
		return nil, err
	}
	sinks = append(sinks, jsonl)
	if cfg.Output.TensorBoard {
		events, err := report.NewTensorBoard(filepath.Join(cfg.Output.Dir, "tensorboard"))
		if err != nil {
			return nil, err
		}
		sinks = append(sinks, events)
	}
	return report.Tee(sinks...), nil
}

// writeCurves writes the page of a finished run's curves into its folder.
func (d *deps) writeCurves(dir string) error {
	path := filepath.Join(dir, curvesFile)
	if err := writeComparison([]string{dir}, path); err != nil {
		return err
	}
	_, err := fmt.Fprintf(d.Out, "curves: %s\n", path)
	return err
}

// Files within output.dir.
const (
	metricsFile = "metrics.jsonl" // the run's JSONL record
	curvesFile  = "curves.html"
)
