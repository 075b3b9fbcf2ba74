package model

import "senet/internal/graph"

// cifarResNets are the small networks for 32x32 (or 28x28) images (He et al. 2016, section 4.2): a 3x3 stem
// and three stages of n basic blocks, 16, 32 and 64 wide, 6n+2 layers. Shortcuts that
// change shape are 1x1 projections (the paper's option B).
var cifarResNets = map[string]family{
	"resnet20_cifar":    cifarResNet(3),
	"resnet32_cifar":    cifarResNet(5),
	"resnet44_cifar":    cifarResNet(7),
	"resnet56_cifar":    cifarResNet(9),
	"resnet110_cifar":   cifarResNet(18),
	"seresnet20_cifar":  cifarResNet(3),
	"seresnet32_cifar":  cifarResNet(5),
	"seresnet44_cifar":  cifarResNet(7),
	"seresnet56_cifar":  cifarResNet(9),
	"seresnet110_cifar": cifarResNet(18),
}

func cifarResNet(n int) family {
	return family{dialect: timm, divisor: 8, build: func(b *builder, x *graph.Value) *graph.Value {
		x = b.g.ReLU("act1", b.bn("bn1", b.conv("conv1", x, 16, 3, 1, 1)))
		for i, width := range []int{16, 32, 64} {
			x = b.stage(i+1, x, n, min(i+1, 2), b.basic(width))
		}
		return b.head(x)
	}}
}
