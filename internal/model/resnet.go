package model

import "senet/internal/graph"

// resnets are the ImageNet networks (He et al. 2016, table 1) and their SE forms (Hu et al. 2018, table 1).
var resnets = map[string]func(*builder, *graph.Value) *graph.Value{
	"resnet18":    basicResNet(2, 2, 2, 2),
	"resnet34":    basicResNet(3, 4, 6, 3),
	"resnet50":    bottleneckResNet(3, 4, 6, 3),
	"resnet101":   bottleneckResNet(3, 4, 23, 3),
	"resnet152":   bottleneckResNet(3, 8, 36, 3),
	"seresnet18":  basicResNet(2, 2, 2, 2),
	"seresnet34":  basicResNet(3, 4, 6, 3),
	"seresnet50":  bottleneckResNet(3, 4, 6, 3),
	"seresnet101": bottleneckResNet(3, 4, 23, 3),
	"seresnet152": bottleneckResNet(3, 8, 36, 3),
}

func basicResNet(depths ...int) func(*builder, *graph.Value) *graph.Value {
	return func(b *builder, x *graph.Value) *graph.Value { return b.resnet(x, b.basic, depths) }
}

func bottleneckResNet(depths ...int) func(*builder, *graph.Value) *graph.Value {
	return func(b *builder, x *graph.Value) *graph.Value { return b.resnet(x, b.bottleneck, depths) }
}

// resnet is the 7x7 stem, four stages of doubling width at halving resolution, and the head.
func (b *builder) resnet(x *graph.Value, block func(width int) func(string, *graph.Value, int) *graph.Value, depths []int) *graph.Value {
	x = b.g.ReLU("act1", b.bn("bn1", b.conv("conv1", x, 64, 7, 2, 1)))
	x = b.g.MaxPool("maxpool", x, graph.PoolAttr{Kernel: 3, Stride: 2, Pad: 1})
	for i, depth := range depths {
		stride := 2
		if i == 0 {
			stride = 1
		}
		x = b.stage(i+1, x, depth, stride, block(64<<i))
	}
	return b.head(x)
}
