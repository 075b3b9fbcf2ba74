package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"senet/internal/backend"
	"senet/internal/bench"
	"senet/internal/config"
	"senet/internal/model"
	"senet/internal/train"
)

// CostOptions are the flags of `senet cost`.
type CostOptions struct {
	Config            ConfigOptions
	Batch, Size       int
	Steps, Warmup     int
	Threads           int
	Device, Precision string
	Chart             string // SVG file to write, or ""
	NoTime, JSON      bool
}

func newCostCmd(d *deps, run func(context.Context, *deps, CostOptions) error) *cobra.Command {
	o := CostOptions{Device: "auto", Precision: "auto"}
	cmd := &cobra.Command{
		Use: "cost", Short: "Show what SE blocks cost: parameters, FLOPs, bytes, and time measured against the twin without", Args: cobra.NoArgs,
		Long: `Compare networks with the same networks without their SE blocks: parameters, FLOPs (multiply-adds)
and float32 activations of one image, planned memory, and the time of inference and training steps.
Steps of the two are run in turn and compared one by one. Without --config these are SE-ResNet-50,
the same without SE blocks in its last stage, and SE-BN-Inception, on images of three channels and
1000 classes; of a config the network alone counts, with its model.se.

--json prints {device, batch, steps, networks}: the networks are a list of {model, se_stages, input,
with_se, without_se, added, infer, train}, input being [C, H, W]; with_se and without_se are
{params, flops, activation_bytes}; added is {params_percent, flops_percent, activation_percent};
infer and train are {with_se_seconds, without_se_seconds, time_ratio, with_se_planned_bytes,
without_se_planned_bytes}, the first three {low, median, high} of a step, low and high the
quartiles.`,
		Example: `  senet cost --batch 32 --chart cost.svg
  senet cost --config configs/seresnet20-fashion-mnist.yaml --set model.se.reduction=4 --no-time`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("config") && cmd.Flags().Changed("size") {
				return fmt.Errorf("%w: --config and --size do not go together", errUsage)
			}
			return run(cmd.Context(), d, o)
		},
	}
	o.Config.addFlags(cmd)
	f := cmd.Flags()
	f.IntVar(&o.Batch, "batch", 16, "`images` of a step")
	f.IntVar(&o.Size, "size", 224, "height and width of the image in `pixels`")
	f.IntVar(&o.Steps, "steps", 10, "`steps` of each network that count")
	f.IntVar(&o.Warmup, "warmup", 2, "`steps` before those")
	f.IntVar(&o.Threads, "threads", 0, "`threads` of the CPU; 0: all cores")
	addDeviceFlag(cmd, &o.Device)
	addPrecisionFlag(cmd, &o.Precision)
	f.StringVar(&o.Chart, "chart", "", "also write a chart to this SVG `file`")
	_ = cmd.MarkFlagFilename("chart", "svg")
	f.BoolVar(&o.NoTime, "no-time", false, "measure nothing: counts alone")
	f.BoolVar(&o.JSON, "json", false, "print one JSON object")
	return cmd
}

// candidate is a network whose SE blocks are to be weighed.
type candidate struct {
	model   string
	options model.Options // for batches of one image
}

// candidates are the config's network, or the three of Hu et al. 2018 that the command is about.
func (o CostOptions) candidates() ([]candidate, error) {
	if o.Config.Path != "" {
		cfg, err := o.Config.load()
		if err != nil {
			return nil, err
		}
		if !model.HasSE(cfg.Model.Name) {
			return nil, fmt.Errorf("%w: model.name: want a network with SE blocks, have %s", config.ErrConfig, cfg.Model.Name)
		}
		return []candidate{{cfg.Model.Name, train.ModelOptions(cfg, 1)}}, nil
	}
	if len(o.Config.Sets) > 0 {
		return nil, fmt.Errorf("%w: --set needs --config", errUsage)
	}
	full := imageNetOptions(o.Size, 1000)
	noLast := full
	noLast.SE.Stages = []int{1, 2, 3}
	return []candidate{{"seresnet50", full}, {"seresnet50", noLast}, {"se_bninception", full}}, nil
}

func runCost(ctx context.Context, d *deps, o CostOptions) (err error) {
	if o.Steps < 1 || o.Warmup < 0 || o.Threads < 0 || o.Batch < 1 {
		return fmt.Errorf("%w: --batch %d, --steps %d, --warmup %d, --threads %d: want at least 1, 1, 0 and 0", errUsage, o.Batch, o.Steps, o.Warmup, o.Threads)
	}
	cs, err := o.candidates()
	if err != nil {
		return err
	}
	r := costReport{}
	for _, c := range cs {
		n, err := c.count()
		if err != nil {
			return fmt.Errorf("%w: %w", errUsage, err)
		}
		r.Networks = append(r.Networks, n)
	}
	if !o.NoTime {
		if err := o.measure(ctx, d, cs, &r); err != nil {
			return err
		}
	}
	if o.Chart != "" {
		if err := r.writeChart(o.Chart); err != nil {
			return err
		}
		fmt.Fprintf(d.Err, "chart written to %s\n", o.Chart)
	}
	if o.JSON {
		return writeJSON(d.Out, r)
	}
	return r.print(d.Out)
}

// count adds up the layers of a network and of its twin.
func (c candidate) count() (costNetwork, error) {
	s, err := summarize(c.model, c.options)
	if err != nil {
		return costNetwork{}, err
	}
	percent := func(with, without int64) float64 { return 100 * float64(with-without) / float64(without) }
	return costNetwork{
		Model: c.model, Stages: c.options.SE.Stages, Input: s.Input, With: s.Total, Without: s.Without, Added: costAdded{
			Params:     percent(s.Total.Params, s.Without.Params),
			FLOPs:      percent(s.Total.FLOPs, s.Without.FLOPs),
			Activation: percent(s.Total.Activation, s.Without.Activation),
		},
	}, nil
}

// measure fills in the device and the times.
func (o CostOptions) measure(ctx context.Context, d *deps, cs []candidate, r *costReport) (err error) {
	b, err := d.openBackend(deviceOptions{device: o.Device, threads: o.Threads, precision: o.Precision, measure: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	r.Device, r.Batch, r.Steps = b.Describe(), o.Batch, o.Steps
	for i, c := range cs {
		for _, training := range []bool{false, true} {
			t, err := o.time(ctx, d, b, c, training)
			if err != nil {
				return err
			}
			if training {
				r.Networks[i].Train = t
			} else {
				r.Networks[i].Infer = t
			}
		}
	}
	return nil
}

// time measures a network and its twin in turn.
func (o CostOptions) time(ctx context.Context, d *deps, b backend.Backend, c candidate, training bool) (*costTime, error) {
	with := c.options
	with.Batch = o.Batch
	without := with
	without.SE = with.SE.Without()
	var nets []*model.Network
	for _, mo := range []model.Options{with, without} {
		net, err := model.Build(c.model, mo)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errUsage, err)
		}
		nets = append(nets, net)
	}
	rs, err := bench.Run(ctx, b, nets, bench.Options{
		Train: training, LossScale: training && o.Precision == "fp16", Steps: o.Steps, Warmup: o.Warmup, Now: d.now,
	})
	if err != nil {
		return nil, err
	}
	return &costTime{
		With: benchSpread(rs[0].Seconds()), Without: benchSpread(rs[1].Seconds()), Ratio: benchSpread(bench.Ratio(rs[0], rs[1])),
		WithPlanned: rs[0].Memory.Peak(), WithoutPlanned: rs[1].Memory.Peak(),
	}, nil
}

// label tells the network apart from others of its model.
func (n costNetwork) label() string {
	if n.Stages == nil || slices.Equal(n.Stages, []int{1, 2, 3, 4}) {
		return n.Model
	}
	return fmt.Sprintf("%s (SE in stages %s)", n.Model, strings.Trim(strings.ReplaceAll(fmt.Sprint(n.Stages), " ", ", "), "[]"))
}
