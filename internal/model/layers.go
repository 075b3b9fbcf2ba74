package model

import (
	"fmt"
	"math"

	"senet/internal/graph"
)

// batchNorm is PyTorch's default: eps 1e-5, and a new batch weighs 0.1 in the running statistics.
var batchNorm = graph.BatchNormAttr{Eps: 1e-5, Momentum: 0.1}

// builder adds layers with their parameters to a graph under timm's state-dict names.
type builder struct {
	g  *graph.Graph
	o  Options
	se bool
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

// excite is the SE block on x (N, C, H, W): squeeze, two fully connected layers, scale (Hu et al. 2018, section 3).
// The layers are kept as 1x1 convolutions (R, C, 1, 1), (C, R, 1, 1), the shape in timm's files.
func (b *builder) excite(name string, x *graph.Value) *graph.Value {
	if !b.se {
		return x
	}
	c := x.Shape[1]
	r := b.o.SE.hidden(c)
	z := b.g.GlobalAvgPool(name+".squeeze", x)
	h := b.g.ReLU(name+".act", b.linear(name+".fc1", z, graph.Shape{r, c, 1, 1}, graph.Kaiming()))
	s := b.g.Sigmoid(name+".gate", b.linear(name+".fc2", h, graph.Shape{c, r, 1, 1}, graph.Kaiming()))
	return b.g.Scale(name+".scale", x, s)
}

// linear is a fully connected layer with bias; PyTorch starts the bias within 1/sqrt(fan in).
func (b *builder) linear(name string, x *graph.Value, w graph.Shape, init graph.Init) *graph.Value {
	return b.g.Linear(
		name, x,
		b.g.Param(name+".weight", w, init),
		b.g.Param(name+".bias", w[:1:1], graph.Uniform(1/math.Sqrt(float64(w[1])))),
	)
}

// head is global average pooling and the classifier.
func (b *builder) head(x *graph.Value) *graph.Value {
	features := b.g.GlobalAvgPool("global_pool", x)
	c := features.Shape[1]
	return b.linear("fc", features, graph.Shape{b.o.Classes, c}, graph.Uniform(1/math.Sqrt(float64(c))))
}

// stage stacks blocks; the first may change resolution and width.
func (b *builder) stage(index int, x *graph.Value, blocks, stride int, block func(name string, x *graph.Value, stride int) *graph.Value) *graph.Value {
	for i := range blocks {
		x = block(fmt.Sprintf("layer%d.%d", index, i), x, stride)
		stride = 1
	}
	return x
}

// basic is the block of two 3x3 convolutions (He et al. 2016, figure 5 left), SE before the addition.
func (b *builder) basic(width int) func(string, *graph.Value, int) *graph.Value {
	return func(name string, x *graph.Value, stride int) *graph.Value {
		y := b.conv(name+".conv1", x, width, 3, stride, 1)
		y = b.g.ReLU(name+".act1", b.bn(name+".bn1", y))
		y = b.conv(name+".conv2", y, width, 3, 1, 1)
		y = b.excite(name+".se", b.lastBN(name+".bn2", y))
		return b.g.ReLU(name+".act2", b.g.Add(name+".add", y, b.shortcut(name, x, width, stride)))
	}
}

// bottleneck is the block of 1x1, 3x3 and 1x1 convolutions (He et al. 2016, figure 5 right), four
// times as wide at its ends, with the stride in the 3x3 (v1.5, as torchvision and timm).
func (b *builder) bottleneck(width int) func(string, *graph.Value, int) *graph.Value {
	return func(name string, x *graph.Value, stride int) *graph.Value {
		const expansion = 4
		y := b.conv(name+".conv1", x, width, 1, 1, 1)
		y = b.g.ReLU(name+".act1", b.bn(name+".bn1", y))
		y = b.conv(name+".conv2", y, width, 3, stride, 1)
		y = b.g.ReLU(name+".act2", b.bn(name+".bn2", y))
		y = b.conv(name+".conv3", y, width*expansion, 1, 1, 1)
		y = b.excite(name+".se", b.lastBN(name+".bn3", y))
		return b.g.ReLU(name+".act3", b.g.Add(name+".add", y, b.shortcut(name, x, width*expansion, stride)))
	}
}

// shortcut is x itself, or its 1x1 projection where the shape changes.
func (b *builder) shortcut(name string, x *graph.Value, width, stride int) *graph.Value {
	if stride == 1 && x.Shape[1] == width {
		return x
	}
	return b.bn(name+".downsample.1", b.conv(name+".downsample.0", x, width, 1, stride, 1))
}
