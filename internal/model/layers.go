package model

import (
	"math"

	"senet/internal/graph"
)

// batchNorm is PyTorch's default: eps 1e-5, and a new batch weighs 0.1 in the running statistics.
var batchNorm = graph.BatchNormAttr{Eps: 1e-5, Momentum: 0.1}

// dialect is how a family names its parameters.
type dialect struct {
	stem string // prefix of the layers before the stages
	se   string // suffix of a block's SE module
	head string // the classifier
}

// builder adds layers with their parameters to a graph under the family's state-dict names.
type builder struct {
	g          *graph.Graph
	o          Options
	hasSE      bool
	dialect    dialect
	stageIndex int          // of the stage being built, from 1
	step       *graph.Value // (1) int32, declared by the first dropout
	gates      []StageGate  // as in Network
}

// conv is a convolution without bias, "same" padded for odd kernels.
func (b *builder) conv(name string, x *graph.Value, out, kernel, stride, groups int) *graph.Value {
	w := b.g.Param(name+".weight", graph.Shape{out, x.Shape[1] / groups, kernel, kernel}, graph.Kaiming())
	return b.g.Conv(name, x, w, nil, graph.ConvAttr{Stride: stride, Pad: kernel / 2, Groups: groups})
}

// bn is batch norm; gamma starts at 1.
func (b *builder) bn(name string, x *graph.Value) *graph.Value {
	return b.bnInit(name, x, graph.Ones())
}

// lastBN is the batch norm that ends a residual branch.
func (b *builder) lastBN(name string, x *graph.Value) *graph.Value {
	if b.o.ZeroInitResidual {
		return b.bnInit(name, x, graph.Zeros())
	}
	return b.bn(name, x)
}

func (b *builder) bnInit(name string, x *graph.Value, gamma graph.Init) *graph.Value {
	c := graph.Shape{x.Shape[1]}
	return b.g.BatchNorm(
		name, x,
		b.g.Param(name+".weight", c, gamma),
		b.g.Param(name+".bias", c, graph.Zeros()),
		b.g.State(name+".running_mean", c, graph.Zeros()),
		b.g.State(name+".running_var", c, graph.Ones()),
		batchNorm,
	)
}

// linear is a fully connected layer; PyTorch starts its bias within 1/sqrt(fan in).
func (b *builder) linear(name string, x *graph.Value, w graph.Shape, init graph.Init, bias bool) *graph.Value {
	weight := b.g.Param(name+".weight", w, init)
	if !bias {
		return b.g.Linear(name, x, weight, nil)
	}
	return b.g.Linear(name, x, weight, b.g.Param(name+".bias", w[:1:1], graph.Uniform(1/math.Sqrt(float64(w[1])))))
}

// head is global average pooling, dropout if there is any, and the classifier.
func (b *builder) head(x *graph.Value) *graph.Value {
	features := b.g.GlobalAvgPool("global_pool", x)
	if b.o.Dropout > 0 {
		b.step = b.g.Input("step", graph.Shape{1}, graph.Int32)
		features = b.g.Dropout("dropout", features, b.step, b.o.Dropout)
	}
	c := features.Shape[1]
	return b.linear(b.dialect.head, features, graph.Shape{b.o.Classes, c}, graph.Uniform(1/math.Sqrt(float64(c))), true)
}
