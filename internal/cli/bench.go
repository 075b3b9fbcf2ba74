package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"senet/internal/bench"
	"senet/internal/model"
	"senet/internal/report"
)

// BenchOptions are the flags and argument of `senet bench`.
type BenchOptions struct {
	What                 string        // train, infer, kernels or data
	Train                bool          // kernels of a training step, not of inference
	Config               ConfigOptions // of data
	Model                string
	Against              string // network to compare with, or ""
	Batch, Size, Classes int
	Channels             int
	Hidden               int
	Steps, Warmup        int
	Threads              int
	Device, Precision    string
	Profile, JSON        bool
}

// benchReport is the --json object of `senet bench`.
type benchReport struct {
	What     string        `json:"what"`
	Device   string        `json:"device"`
	Batch    int           `json:"batch"`
	Input    []int         `json:"input"` // (C, H, W)
	Steps    int           `json:"steps"`
	Networks []benchResult `json:"networks"`             // --model, then --against
	Ratio    *benchSpread  `json:"time_ratio,omitempty"` // of the first network's time to the second's, step by step
}

// benchResult is what one network took; low and high are the quartiles.
type benchResult struct {
	Model   string       `json:"model"`
	Speed   benchSpread  `json:"images_per_second"`
	Seconds []float64    `json:"step_seconds"`           // of each step
	Ratio   *benchSpread `json:"time_ratio,omitempty"`   // to the first network's steps, of every other network
	Planned int64        `json:"planned_bytes"`          // peak memory
	Profile []opShare    `json:"profile,omitempty"`      // with --profile, the greatest share first
	Convs   float64      `json:"conv_percent,omitempty"` // share of the step in convolutions, with --profile
	GFLOPs  float64      `json:"conv_gflops,omitempty"`  // their speed, a multiply-add counted as two, with --profile
}

type benchSpread struct {
	Low    float64 `json:"low"`
	Median float64 `json:"median"`
	High   float64 `json:"high"`
}

func newBenchCmd(d *deps, run func(context.Context, *deps, BenchOptions) error) *cobra.Command {
	o := BenchOptions{Device: "auto", Precision: "auto"}
	cmd := &cobra.Command{
		Use: "bench train|infer|kernels|data", Short: "Measure training steps or inference on random images, or the loader", Args: cobra.ExactArgs(1),
		Long: `Measure training steps or inference on random images. With --against, steps of two networks
are run in turn and compared one by one: what disturbs the machine then disturbs both.

kernels runs the nodes of a step one by one and lists them by op and shape, with the bytes that
they move at the least and, where the device tells it, the share of its memory's peak. Caches may
exceed it.

data measures how fast the training batches of --config are read, decoded and augmented, in steps
of train.batch_size images.

--json prints {what, device, batch, input, steps, networks, time_ratio}: input is [C, H, W]; the
networks are a list of {model, images_per_second, step_seconds, planned_bytes, profile,
conv_percent, conv_gflops}. images_per_second and time_ratio, of --model's time to --against's, are
{low, median, high}, low and high the quartiles; with --profile, profile is a list of {op, runs,
milliseconds, percent} for a step. kernels prints {what, device, model, train, batch, input, steps,
peak_bytes_per_second, kernels}: a list of {op, shape, runs, microseconds, bytes, bytes_per_second,
peak_percent}, runs a step, the others of one run; what is not known is left out. data prints {what,
source, batch, steps, workers, images_per_second, images_per_second_per_core}, the speeds being
numbers.`,
		Example: "  senet bench train --model seresnet50 --against resnet50 --steps 10\n  senet bench infer --model seresnet50 --batch 1 --profile\n  senet bench kernels --model seresnet50 --train\n  senet bench data --config configs/seresnet20-fashion-mnist.yaml",
		RunE: func(cmd *cobra.Command, args []string) error {
			o.What = args[0]
			return run(cmd.Context(), d, o)
		},
		ValidArgsFunction: cobra.FixedCompletions([]string{"train", "infer", "kernels", "data"}, cobra.ShellCompDirectiveNoFileComp),
	}
	o.Config.addFlags(cmd)
	f := cmd.Flags()
	f.StringVar(&o.Model, "model", "", "network to measure by its `name` (required)")
	f.StringVar(&o.Against, "against", "", "network to compare it with, by its `name`")
	f.IntVar(&o.Batch, "batch", 16, "`images` of a step")
	f.IntVar(&o.Size, "size", 224, "height and width of the image in `pixels`")
	f.IntVar(&o.Channels, "channels", 3, "`number` of the image's channels")
	f.IntVar(&o.Classes, "classes", 1000, "`number` of classes")
	f.IntVar(&o.Hidden, "hidden", 0, "`units` of every SE block's hidden layer; 0: one for 16 channels")
	f.IntVar(&o.Steps, "steps", 10, "`steps` of each network, or of the loader, that count")
	f.IntVar(&o.Warmup, "warmup", 2, "`steps` before those")
	f.IntVar(&o.Threads, "threads", 0, "`threads` of the CPU; 0: all cores")
	addDeviceFlag(cmd, &o.Device)
	addPrecisionFlag(cmd, &o.Precision)
	f.BoolVar(&o.Train, "train", false, "kernels: of a training step, not of inference")
	f.BoolVar(&o.Profile, "profile", false, "also show where the time goes by op")
	f.BoolVar(&o.JSON, "json", false, "print one JSON object")
	for _, flag := range []string{"model", "against"} {
		_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(model.Names(), cobra.ShellCompDirectiveNoFileComp))
	}
	return cmd
}

func (o BenchOptions) check() error {
	switch {
	case o.What != "train" && o.What != "infer" && o.What != "kernels":
		return fmt.Errorf("%w: %q: want train, infer, kernels or data", errUsage, o.What)
	case o.Against != "" && o.What == "kernels", o.Train && o.What != "kernels":
		return fmt.Errorf("%w: --against is for train and infer, --train for kernels", errUsage)
	case o.Model == "":
		return fmt.Errorf("%w: --model is required, e.g. --model seresnet50", errUsage)
	case o.Steps < 1 || o.Warmup < 0 || o.Threads < 0:
		return fmt.Errorf("%w: --steps %d, --warmup %d, --threads %d: want at least 1, 0 and 0", errUsage, o.Steps, o.Warmup, o.Threads)
	}
	return nil
}

func runBench(ctx context.Context, d *deps, o BenchOptions) (err error) {
	if o.What == "data" {
		return runBenchData(ctx, d, o)
	}
	if err := o.check(); err != nil {
		return err
	}
	var nets []*model.Network
	for _, name := range []string{o.Model, o.Against} {
		if name == "" {
			continue
		}
		net, err := o.build(name)
		if err != nil {
			return err
		}
		nets = append(nets, net)
	}
	b, err := d.openBackend(deviceOptions{device: o.Device, threads: o.Threads, precision: o.Precision, measure: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	if o.What == "kernels" {
		return runBenchKernels(ctx, d, o, b, nets[0])
	}
	results, err := bench.Run(ctx, b, nets, bench.Options{
		Train: o.What == "train", LossScale: o.Precision == "fp16", Steps: o.Steps, Warmup: o.Warmup, Profile: o.Profile, Now: d.now,
	})
	if err != nil {
		return err
	}
	r := o.report(b.Describe(), results)
	if o.JSON {
		return writeJSON(d.Out, r)
	}
	return r.print(d.Out)
}

func (o BenchOptions) build(name string) (*model.Network, error) {
	mean, std := make([]float32, max(o.Channels, 0)), make([]float32, max(o.Channels, 0))
	for i := range mean {
		mean[i], std[i] = 0.45, 0.25
	}
	net, err := model.Build(name, model.Options{
		Batch: o.Batch, Height: o.Size, Width: o.Size, Channels: o.Channels, Mean: mean, Std: std, Classes: o.Classes,
		SE: model.SE{Reduction: 16, Hidden: o.Hidden},
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUsage, err)
	}
	return net, nil
}

func (o BenchOptions) report(device string, results []bench.Result) benchReport {
	r := benchReport{What: o.What, Device: device, Batch: o.Batch, Input: []int{o.Channels, o.Size, o.Size}, Steps: o.Steps}
	for _, x := range results {
		out := benchResult{Model: x.Name, Speed: benchSpread(x.ImagesPerSecond()), Planned: x.Memory.Peak()}
		for _, t := range x.Times {
			out.Seconds = append(out.Seconds, t.Seconds())
		}
		if x.Nodes != nil {
			out.Profile, out.Convs, out.GFLOPs = shares(x.Nodes)
		}
		r.Networks = append(r.Networks, out)
	}
	if len(results) == 2 {
		ratio := benchSpread(bench.Ratio(results[0], results[1]))
		r.Ratio = &ratio
	}
	return r
}

func (r benchReport) print(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, batch %d, image (%d, %d, %d), %d steps, on %s\n", r.What, r.Batch, r.Input[0], r.Input[1], r.Input[2], r.Steps, r.Device)
	for _, n := range r.Networks {
		fmt.Fprintf(&b, "%-26s %9.2f img/s (quartiles %.2f to %.2f), planned memory %s\n",
			n.Model, n.Speed.Median, n.Speed.Low, n.Speed.High, report.FormatBytes(n.Planned))
		for _, s := range n.Profile {
			fmt.Fprintf(&b, "    %-28s %4d runs %10.2f ms %6.1f %%\n", s.Op, s.Runs, s.Milliseconds, s.Percent)
		}
		if n.Profile != nil {
			fmt.Fprintf(&b, "    convolutions take %.1f %% of the step, at %.0f GFLOP/s\n", n.Convs, n.GFLOPs)
		}
	}
	if r.Ratio != nil {
		fmt.Fprintf(&b, "time of %s to %s: %.3f (quartiles %.3f to %.3f)\n", r.Networks[0].Model, r.Networks[1].Model, r.Ratio.Median, r.Ratio.Low, r.Ratio.High)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
