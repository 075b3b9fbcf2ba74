package model

import "senet/internal/graph"

// timm names the parameters of the networks that it defines itself, as torchvision does.
var timm = dialect{se: ".se", head: "fc"}

// resnets are the ImageNet networks (He et al. 2016, table 1; Xie et al. 2017, table 1) and their SE forms (Hu et al. 2018, table 1).
var resnets = map[string]family{
	"resnet18":           resNet(basicBlock, 2, 2, 2, 2),
	"resnet34":           resNet(basicBlock, 3, 4, 6, 3),
	"resnet50":           resNet(bottleneckBlock, 3, 4, 6, 3),
	"resnet101":          resNet(bottleneckBlock, 3, 4, 23, 3),
	"resnet152":          resNet(bottleneckBlock, 3, 8, 36, 3),
	"resnext50_32x4d":    resNet(resNeXtBlock, 3, 4, 6, 3),
	"resnext101_32x4d":   resNet(resNeXtBlock, 3, 4, 23, 3),
	"seresnet18":         resNet(basicBlock, 2, 2, 2, 2),
	"seresnet34":         resNet(basicBlock, 3, 4, 6, 3),
	"seresnet50":         resNet(bottleneckBlock, 3, 4, 6, 3),
	"seresnet101":        resNet(bottleneckBlock, 3, 4, 23, 3),
	"seresnet152":        resNet(bottleneckBlock, 3, 8, 36, 3),
	"seresnext50_32x4d":  resNet(resNeXtBlock, 3, 4, 6, 3),
	"seresnext101_32x4d": resNet(resNeXtBlock, 3, 4, 23, 3),
}

// Blocks of a stage of base width 64, 128, 256 or 512.

func basicBlock(b *builder, width int) block { return b.basic(width) }

func bottleneckBlock(b *builder, width int) block {
	return b.bottleneck(bottleneck{reduce: width, inner: width, out: 4 * width, groups: 1, v1: b.o.V1Stride, project: 1})
}

// resNeXtBlock has 32 groups of 4 channels where ResNet has 64.
func resNeXtBlock(b *builder, width int) block {
	return b.bottleneck(bottleneck{reduce: 2 * width, inner: 2 * width, out: 4 * width, groups: 32, v1: b.o.V1Stride, project: 1})
}

func resNet(of func(b *builder, width int) block, depths ...int) family {
	return family{dialect: timm, divisor: 8, build: func(b *builder, x *graph.Value) *graph.Value {
		x = b.stem7x7(x)
		x = b.g.MaxPool("maxpool", x, graph.PoolAttr{Kernel: 3, Stride: 2, Pad: 1})
		return b.head(b.fourStages(x, of, depths))
	}}
}

// stem7x7 is the 7x7 convolution that halves the resolution.
func (b *builder) stem7x7(x *graph.Value) *graph.Value {
	stem := b.dialect.stem
	return b.g.ReLU(stem+"act1", b.bn(stem+"bn1", b.conv(stem+"conv1", x, 64, 7, 2, 1)))
}

// fourStages double the width from 64 and, but for the first, halve the resolution.
func (b *builder) fourStages(x *graph.Value, of func(b *builder, width int) block, depths []int) *graph.Value {
	for i, depth := range depths {
		x = b.stage(i+1, x, depth, min(i+1, 2), of(b, 64<<i))
	}
	return x
}
