package model

import (
	"fmt"

	"senet/internal/graph"
)

// block builds one residual block on x; the first of a stage may change resolution and width.
type block func(name string, x *graph.Value, stride int) *graph.Value

// stage stacks blocks.
func (b *builder) stage(index int, x *graph.Value, blocks, stride int, build block) *graph.Value {
	b.stageIndex = index
	for i := range blocks {
		x = build(fmt.Sprintf("layer%d.%d", index, i), x, stride)
		stride = 1
	}
	return x
}

// residual is ReLU(branch(x) + shortcut(x)) with the SE block where it is placed.
func (b *builder) residual(name string, x *graph.Value, relu string, branch, shortcut func(x *graph.Value) *graph.Value) *graph.Value {
	y := b.exciteAt(Standard, name, branch(b.exciteAt(Pre, name, x)))
	y = b.g.Add(name+".add", y, b.exciteAt(Identity, name, shortcut(x)))
	return b.exciteAt(Post, name, b.g.ReLU(name+relu, y))
}

// basic is the block of two 3x3 convolutions (He et al. 2016, figure 5 left).
func (b *builder) basic(width int) block {
	return func(name string, x *graph.Value, stride int) *graph.Value {
		branch := func(x *graph.Value) *graph.Value { return b.basicBranch(name, x, width, stride) }
		return b.residual(name, x, ".act2", branch, b.shortcut(name, width, 1, stride))
	}
}

func (b *builder) basicBranch(name string, x *graph.Value, width, stride int) *graph.Value {
	y := b.conv(name+".conv1", x, width, 3, stride, 1)
	y = b.g.ReLU(name+".act1", b.bn(name+".bn1", y))
	return b.lastBN(name+".bn2", b.conv(name+".conv2", y, width, 3, 1, 1))
}

// bottleneck is the shape of a block of 1x1, 3x3 and 1x1 convolutions (He et al. 2016, figure 5 right).
type bottleneck struct {
	reduce, inner, out int  // channels after each convolution
	groups             int  // of the 3x3: ResNeXt's cardinality
	v1                 bool // the stride is in the first 1x1, as in the paper, not in the 3x3 (v1.5, as torchvision and timm)
	project            int  // kernel of the shortcut's projection
}

func (b *builder) bottleneck(w bottleneck) block {
	return func(name string, x *graph.Value, stride int) *graph.Value {
		first, second := 1, stride
		if w.v1 {
			first, second = stride, 1
		}
		branch := func(x *graph.Value) *graph.Value {
			y := b.conv(name+".conv1", x, w.reduce, 1, first, 1)
			y = b.g.ReLU(name+".act1", b.bn(name+".bn1", y))
			y = b.conv(name+".conv2", y, w.inner, 3, second, w.groups)
			y = b.g.ReLU(name+".act2", b.bn(name+".bn2", y))
			return b.lastBN(name+".bn3", b.conv(name+".conv3", y, w.out, 1, 1, 1))
		}
		return b.residual(name, x, ".act3", branch, b.shortcut(name, w.out, w.project, stride))
	}
}

// shortcut is x itself, or its projection where the shape changes.
func (b *builder) shortcut(name string, width, kernel, stride int) func(x *graph.Value) *graph.Value {
	return func(x *graph.Value) *graph.Value {
		if stride == 1 && x.Shape[1] == width {
			return x
		}
		return b.bn(name+".downsample.1", b.conv(name+".downsample.0", x, width, kernel, stride, 1))
	}
}
