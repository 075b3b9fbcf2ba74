package model

import (
	"fmt"

	"senet/internal/graph"
)

// cadene names the parameters of the first PyTorch port of the authors' networks, which timm keeps as legacy_*.
var cadene = dialect{stem: "layer0.", se: ".se_module", head: "last_linear"}

// legacySENets are the networks as the authors released them (Hu et al. 2018; their Caffe models): a max pooling without padding
// that rounds its size up, SE-ResNets with the stride in the first 1x1, hidden units in the plain ratio.
var legacySENets = map[string]family{
	"legacy_seresnet18":         legacy(b7x7, legacyBasicBlock, 2, 2, 2, 2),
	"legacy_seresnet34":         legacy(b7x7, legacyBasicBlock, 3, 4, 6, 3),
	"legacy_seresnet50":         legacy(b7x7, legacyBottleneck, 3, 4, 6, 3),
	"legacy_seresnet101":        legacy(b7x7, legacyBottleneck, 3, 4, 23, 3),
	"legacy_seresnet152":        legacy(b7x7, legacyBottleneck, 3, 8, 36, 3),
	"legacy_seresnext50_32x4d":  legacy(b7x7, resNeXtBlock, 3, 4, 6, 3),
	"legacy_seresnext101_32x4d": legacy(b7x7, resNeXtBlock, 3, 4, 23, 3),
	"legacy_senet154":           legacy(b3x3, senet154Block, 3, 8, 36, 3),
}

// legacyBasicBlock has a ReLU between the second batch norm and the SE block, as the port has.
func legacyBasicBlock(b *builder, width int) block {
	return func(name string, x *graph.Value, stride int) *graph.Value {
		branch := func(x *graph.Value) *graph.Value {
			return b.g.ReLU(name+".act2", b.basicBranch(name, x, width, stride))
		}
		return b.residual(name, x, ".act3", branch, b.shortcut(name, width, 1, stride))
	}
}

func legacyBottleneck(b *builder, width int) block {
	return b.bottleneck(bottleneck{reduce: width, inner: width, out: 4 * width, groups: 1, v1: true, project: 1})
}

// senet154Block has 64 groups, a first convolution of half the width of the second, and, but for the first stage,
// 3x3 projections (Hu et al. 2018, appendix).
func senet154Block(b *builder, width int) block {
	project := 3
	if width == 64 {
		project = 1
	}
	return b.bottleneck(bottleneck{reduce: 2 * width, inner: 4 * width, out: 4 * width, groups: 64, project: project})
}

func legacy(stem func(b *builder, x *graph.Value) *graph.Value, of func(b *builder, width int) block, depths ...int) family {
	return family{dialect: cadene, divisor: 1, build: func(b *builder, x *graph.Value) *graph.Value {
		x = b.g.MaxPool("layer0.pool", stem(b, x), graph.PoolAttr{Kernel: 3, Stride: 2, Ceil: true})
		return b.head(b.fourStages(x, of, depths))
	}}
}

func b7x7(b *builder, x *graph.Value) *graph.Value { return b.stem7x7(x) }

// b3x3 is SENet-154's stem: three 3x3 convolutions of 64, 64 and 128 channels, the first with stride 2.
func b3x3(b *builder, x *graph.Value) *graph.Value {
	for i, width := range []int{64, 64, 128} {
		n, stride := i+1, 2-min(i, 1)
		x = b.bn(fmt.Sprintf("layer0.bn%d", n), b.conv(fmt.Sprintf("layer0.conv%d", n), x, width, 3, stride, 1))
		x = b.g.ReLU(fmt.Sprintf("layer0.relu%d", n), x)
	}
	return x
}
