// Package model builds the squeeze-and-excitation networks and their plain twins as graphs
// under timm's names and state-dict keys. Pure Go; nothing is computed here.
//
//	net, err := model.Build("seresnet50", model.Options{Batch: 16, Height: 224, Width: 224, ...})
//	p, err := graph.Training(net.Graph, net.Ends, graph.TrainingOptions{})
package model

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"senet/internal/graph"
)

// ErrUnknown is returned by Build for a name that Names does not list.
var ErrUnknown = errors.New("unknown model")

// Options are the settings that every network shares.
type Options struct {
	Batch         int       // images a step
	Height, Width int       // pixels
	Channels      int       // of the image: 1 grey, 3 RGB
	Mean, Std     []float32 // per channel, of pixels scaled to [0, 1]
	Classes       int

	// ZeroInitResidual starts the last batch norm's gamma of each block at 0, so that every
	// block begins as the identity (Goyal et al. 2017, section 5.1; timm's default).
	ZeroInitResidual bool
	LabelSmoothing   float32
	SE               SE
}

// SE sets the excitation's width; it applies to networks whose name says they have SE blocks.
type SE struct {
	Reduction int // hidden units = channels / Reduction, rounded to a multiple of 8 as timm does; the paper's ratio is 16
	Hidden    int // if not 0: this many hidden units in every block (NVIDIA's networks use 16)
}

// hidden is the number of hidden units for a block of c channels: timm's make_divisible
// with divisor 8, so 64 channels at ratio 16 get 8, not 4.
func (s SE) hidden(c int) int {
	if s.Hidden > 0 {
		return s.Hidden
	}
	const divisor = 8
	return max(divisor, (c/s.Reduction+divisor/2)/divisor*divisor)
}

// Network is a built forward graph, from pixels to loss.
type Network struct {
	Name  string
	Graph *graph.Graph
	Ends  graph.Ends
}

// Names lists the networks that Build knows, sorted.
func Names() []string {
	var names []string
	for name := range families {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// families maps each name to its definition; each family's file adds its own.
var families = merge(resnets, cifarResNets)

func merge(ms ...map[string]func(*builder, *graph.Value) *graph.Value) map[string]func(*builder, *graph.Value) *graph.Value {
	all := map[string]func(*builder, *graph.Value) *graph.Value{}
	for _, m := range ms {
		for name, f := range m {
			all[name] = f
		}
	}
	return all
}

// HasSE reports whether the named network has SE blocks.
func HasSE(name string) bool { return strings.HasPrefix(name, "se") }

// Twin is the name of the same network without SE blocks, or with them.
func Twin(name string) string {
	if HasSE(name) {
		return strings.TrimPrefix(name, "se")
	}
	return "se" + name
}

// Build builds the named network. Errors name the model and the layer that does not fit.
func Build(name string, o Options) (*Network, error) {
	define, ok := families[name]
	if !ok {
		return nil, fmt.Errorf("model %q: %w; known are %s", name, ErrUnknown, strings.Join(Names(), ", "))
	}
	if err := o.validate(); err != nil {
		return nil, fmt.Errorf("model %q: %w", name, err)
	}
	g := graph.New()
	b := &builder{g: g, o: o, se: HasSE(name)}
	image := g.Input("image", graph.Shape{o.Batch, o.Height, o.Width, o.Channels}, graph.Uint8)
	labels := g.Input("labels", graph.Shape{o.Batch}, graph.Int32)
	logits := define(b, g.Normalize("normalize", image, o.Mean, o.Std))
	net := &Network{Name: name, Graph: g, Ends: graph.Ends{
		Image: image, Labels: labels, Logits: logits,
		Loss:    g.SoftmaxCrossEntropy("loss", logits, labels, graph.LossAttr{Smoothing: o.LabelSmoothing}),
		Correct: g.Accuracy("accuracy", logits, labels),
	}}
	if err := g.Err(); err != nil {
		return nil, fmt.Errorf("model %q: %w", name, err)
	}
	return net, nil
}

func (o Options) validate() error {
	switch {
	case o.Batch < 1 || o.Height < 1 || o.Width < 1 || o.Channels < 1:
		return fmt.Errorf("batch %d, image (%d, %d, %d): all must be at least 1", o.Batch, o.Height, o.Width, o.Channels)
	case o.Classes < 2:
		return fmt.Errorf("%d classes: want at least 2", o.Classes)
	case o.SE.Hidden <= 0 && o.SE.Reduction <= 0:
		return fmt.Errorf("se: neither reduction nor hidden units are set")
	case !(o.LabelSmoothing >= 0 && o.LabelSmoothing < 1):
		return fmt.Errorf("label smoothing %v: want [0, 1)", o.LabelSmoothing)
	}
	return nil
}
