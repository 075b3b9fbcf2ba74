package cli

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"senet/internal/config"
	"senet/internal/graph"
	"senet/internal/model"
	"senet/internal/report"
	"senet/internal/train"
)

// SummaryOptions are the flags of `senet summary`.
type SummaryOptions struct {
	Config  ConfigOptions
	Model   string
	Size    int
	Classes int
	JSON    bool
}

// summaryReport is the --json object of `senet summary`. FLOPs are multiply-adds for one image.
type summaryReport struct {
	Model   string         `json:"model"`
	Input   []int          `json:"input"` // (C, H, W)
	Layers  []layerReport  `json:"layers"`
	Total   totalReport    `json:"total"`
	Without totalReport    `json:"without_se"` // the same network without its SE blocks
	SE      *overheadShare `json:"se,omitempty"`
}

// layerReport is one node of the network.
type layerReport struct {
	Name       string `json:"name"`
	Op         string `json:"op"`
	Shape      []int  `json:"shape"` // of the output, without the batch
	Params     int64  `json:"params"`
	FLOPs      int64  `json:"flops"`
	Activation int64  `json:"activation_bytes"`
}

// totalReport sums a network's layers.
type totalReport struct {
	Params     int64 `json:"params"`
	FLOPs      int64 `json:"flops"`
	Activation int64 `json:"activation_bytes"`
}

// overheadShare is what SE adds, in percent of the twin without it.
type overheadShare struct {
	Params float64 `json:"params_percent"`
	FLOPs  float64 `json:"flops_percent"`
}

func newSummaryCmd(d *deps, run func(context.Context, *deps, SummaryOptions) error) *cobra.Command {
	var o SummaryOptions
	cmd := &cobra.Command{
		Use: "summary", Short: "Print a network's layers: shapes, parameters, FLOPs, activation bytes", Args: cobra.NoArgs,
		Long: `Print the layer table of a network, given by --config or by --model, with totals with and
without SE. FLOPs are multiply-adds for one image, activations are float32.

--json prints {model, input, layers, total, without_se, se}: input is [C, H, W]; layers are a list
of {name, op, shape, params, flops, activation_bytes}, shape without the batch; total and without_se
are {params, flops, activation_bytes}; se, only if there is any, is {params_percent, flops_percent},
what it adds to the network without it.

Models:
  ` + strings.Join(model.Names(), "\n  "),
		Example: `  senet summary --model seresnet50
  senet summary --config configs/seresnet20-fashion-mnist.yaml --json`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, pair := range [][2]string{{"config", "model"}, {"model", "set"}, {"config", "size"}, {"config", "classes"}} {
				if cmd.Flags().Changed(pair[0]) && cmd.Flags().Changed(pair[1]) {
					return fmt.Errorf("%w: --%s and --%s do not go together", errUsage, pair[0], pair[1])
				}
			}
			return run(cmd.Context(), d, o)
		},
	}
	o.Config.addFlags(cmd)
	cmd.Flags().StringVar(&o.Model, "model", "", "network to show by its `name`, without a config")
	cmd.Flags().IntVar(&o.Size, "size", 224, "with --model: height and width of the image in `pixels`")
	cmd.Flags().IntVar(&o.Classes, "classes", 1000, "with --model: `number` of classes")
	cmd.Flags().BoolVar(&o.JSON, "json", false, "print one JSON object")
	_ = cmd.RegisterFlagCompletionFunc("model", cobra.FixedCompletions(model.Names(), cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func runSummary(_ context.Context, d *deps, o SummaryOptions) error {
	if o.Model == "" && o.Config.Path == "" {
		return fmt.Errorf("%w: --model or --config is required, e.g. --model seresnet50", errUsage)
	}
	origin, name, mo := errUsage, o.Model, imageNetOptions(o.Size, o.Classes)
	if o.Model == "" {
		cfg, err := o.Config.load()
		if err != nil {
			return err
		}
		origin, name, mo = config.ErrConfig, cfg.Model.Name, train.ModelOptions(cfg, 1)
	}
	r, err := summarize(name, mo)
	if err != nil {
		return fmt.Errorf("%w: %w", origin, err)
	}
	if o.JSON {
		return writeJSON(d.Out, r)
	}
	return r.print(d.Out)
}

// imageNetOptions are a network's for one image of three channels, as of ImageNet.
func imageNetOptions(size, classes int) model.Options {
	return model.Options{
		Batch: 1, Height: size, Width: size, Channels: 3, Classes: classes,
		Mean: []float32{0.485, 0.456, 0.406}, Std: []float32{0.229, 0.224, 0.225}, SE: model.SE{Reduction: 16},
	}
}

func summarize(name string, o model.Options) (summaryReport, error) {
	layers, total, err := costs(name, o)
	if err != nil {
		return summaryReport{}, err
	}
	r := summaryReport{Model: name, Input: []int{o.Channels, o.Height, o.Width}, Layers: layers, Total: total, Without: total}
	if model.HasSE(name) {
		o.SE = o.SE.Without()
		if _, r.Without, err = costs(name, o); err != nil {
			return summaryReport{}, err
		}
		r.SE = &overheadShare{
			Params: 100 * float64(total.Params-r.Without.Params) / float64(r.Without.Params),
			FLOPs:  100 * float64(total.FLOPs-r.Without.FLOPs) / float64(r.Without.FLOPs),
		}
	}
	return r, nil
}

// costs lists the layers of the named network, from the image to the logits.
func costs(name string, o model.Options) ([]layerReport, totalReport, error) {
	net, err := model.Build(name, o)
	if err != nil {
		return nil, totalReport{}, err
	}
	var layers []layerReport
	var total totalReport
	for _, n := range net.Graph.Nodes {
		if n.Op == graph.SoftmaxCrossEntropy || n.Op == graph.Accuracy {
			continue
		}
		c := graph.CostOf(n)
		layers = append(layers, layerReport{n.Name, string(n.Op), n.Out[0].Shape[1:], c.Params, c.FLOPs, c.Activation})
		total.Params += c.Params
		total.FLOPs += c.FLOPs
		total.Activation += c.Activation
	}
	return layers, total, nil
}

func (r summaryReport) print(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, input %s\n\n", r.Model, graph.Shape(r.Input))
	width := len("without SE")
	for _, l := range r.Layers {
		width = max(width, len(l.Name))
	}
	row := fmt.Sprintf("%%-%ds %%-16s %%16s %%12s %%14s %%12s\n", width)
	fmt.Fprintf(&b, row, "layer", "op", "output", "params", "FLOPs", "activation")
	for _, l := range r.Layers {
		fmt.Fprintf(&b, row, l.Name, l.Op, graph.Shape(l.Shape), report.Thousands(l.Params), report.Thousands(l.FLOPs), report.FormatBytes(l.Activation))
	}
	line := func(label string, t totalReport) {
		fmt.Fprintf(&b, row, label, "", "", report.Thousands(t.Params), report.Thousands(t.FLOPs), report.FormatBytes(t.Activation))
	}
	fmt.Fprintln(&b)
	line("total", r.Total)
	if r.SE != nil {
		line("without SE", r.Without)
		fmt.Fprintf(&b, "\nSE adds %.2f %% parameters and %.2f %% FLOPs\n", r.SE.Params, r.SE.FLOPs)
	}
	fmt.Fprintln(&b, "FLOPs are multiply-adds for one image; activation bytes are float32")
	_, err := io.WriteString(w, b.String())
	return err
}
