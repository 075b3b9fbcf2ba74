// Package model builds the squeeze-and-excitation networks and their plain twins as graphs
// under timm's names and state-dict keys. Pure Go; nothing is computed here.
//
//	net, err := model.Build("seresnet50", model.Options{Batch: 16, Height: 224, Width: 224, ...})
//	p, err := graph.Training(net.Graph, net.Ends, graph.TrainingOptions{})
package model

import (
	"errors"
	"fmt"
	"maps"
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
	V1Stride         bool    // ResNet-50 and deeper: the stride in the first 1x1 as in the paper, not in the 3x3 (v1.5)
	Dropout          float32 // share of the features dropped before the classifier in training (SENet-154: 0.2)
	LabelSmoothing   float32
	BinaryLoss       *BinaryLoss // in place of softmax cross entropy, if not nil
	MixedLabels      bool        // the loss also takes the labels of images that were mixed in, and their share
	SE               SE
}

// BinaryLoss is binary cross entropy, as Wightman et al. 2021 ("ResNet strikes back") train with.
type BinaryLoss struct {
	Threshold  float32 // above which a target becomes 1, all others 0; 0 leaves targets as they are
	SumClasses bool    // the sum over classes, not their mean
}

// Network is a built forward graph, from pixels to loss.
type Network struct {
	Name  string
	Graph *graph.Graph
	Ends  graph.Ends
	Gates []StageGate // of the last SE block of each stage that has one, by stage
}

// StageGate is the gate (N, C) of an SE block.
type StageGate struct {
	Stage int // from 1
	Value *graph.Value
}

// Names lists the networks that Build knows, sorted.
func Names() []string {
	return slices.Sorted(maps.Keys(families))
}

// family is how the networks of one file are built.
type family struct {
	dialect dialect
	divisor int  // of the hidden units, see SE.Divisor
	oneSE   bool // knows the standard placement of SE blocks alone
	build   func(b *builder, x *graph.Value) *graph.Value
}

// families maps each name to its definition; each family's file adds its own.
var families = merge(resnets, legacySENets, bnInceptions, cifarResNets)

func merge(ms ...map[string]family) map[string]family {
	all := map[string]family{}
	for _, m := range ms {
		maps.Copy(all, m)
	}
	return all
}

// HasSE reports whether the named network has SE blocks.
func HasSE(name string) bool { return strings.HasPrefix(strings.TrimPrefix(name, "legacy_"), "se") }

// Build builds the named network. Errors name the model and the layer that does not fit.
func Build(name string, o Options) (*Network, error) {
	f, ok := families[name]
	if !ok {
		return nil, fmt.Errorf("model %q: %w; known are %s", name, ErrUnknown, strings.Join(Names(), ", "))
	}
	if err := o.validate(); err != nil {
		return nil, fmt.Errorf("model %q: %w", name, err)
	}
	o.SE = o.SE.withDefaults(f.divisor)
	if f.oneSE && o.SE.Placement != Standard {
		return nil, fmt.Errorf("model %q: se: placement %q, want %q: there is no other", name, o.SE.Placement, Standard)
	}
	g := graph.New()
	b := &builder{g: g, o: o, hasSE: HasSE(name), dialect: f.dialect}
	image := g.Input("image", graph.Shape{o.Batch, o.Height, o.Width, o.Channels}, graph.Uint8)
	labels := g.Input("labels", graph.Shape{o.Batch}, graph.Int32)
	logits := f.build(b, g.Normalize("normalize", image, o.Mean, o.Std))
	targets := graph.Targets{Labels: labels}
	if o.MixedLabels {
		targets.MixedLabels = g.Input("mixed_labels", labels.Shape, graph.Int32)
		targets.Share = g.Input("label_share", labels.Shape, graph.Float32)
	}
	net := &Network{Name: name, Graph: g, Ends: graph.Ends{
		Image: image, Labels: labels, MixedLabels: targets.MixedLabels, Share: targets.Share, Logits: logits,
		Loss:    loss(g, logits, targets, o),
		Correct: g.Accuracy("accuracy", logits, labels), StepCount: b.step,
	}, Gates: b.gates}
	if err := g.Err(); err != nil {
		return nil, fmt.Errorf("model %q: %w", name, err)
	}
	return net, nil
}

func loss(g *graph.Graph, logits *graph.Value, t graph.Targets, o Options) *graph.Value {
	if o.BinaryLoss == nil {
		return g.SoftmaxCrossEntropy("loss", logits, t, graph.LossAttr{Smoothing: o.LabelSmoothing})
	}
	return g.BinaryCrossEntropy("loss", logits, t, graph.BinaryLossAttr{
		Smoothing: o.LabelSmoothing, Threshold: o.BinaryLoss.Threshold, SumClasses: o.BinaryLoss.SumClasses,
	})
}

func (o Options) validate() error {
	switch {
	case o.Batch < 1 || o.Height < 1 || o.Width < 1 || o.Channels < 1:
		return fmt.Errorf("batch %d, image (%d, %d, %d): all must be at least 1", o.Batch, o.Height, o.Width, o.Channels)
	case o.Classes < 2:
		return fmt.Errorf("%d classes: want at least 2", o.Classes)
	case !(o.Dropout >= 0 && o.Dropout < 1):
		return fmt.Errorf("dropout %v: want [0, 1)", o.Dropout)
	case !(o.LabelSmoothing >= 0 && o.LabelSmoothing < 1):
		return fmt.Errorf("label smoothing %v: want [0, 1)", o.LabelSmoothing)
	}
	return o.SE.validate()
}
