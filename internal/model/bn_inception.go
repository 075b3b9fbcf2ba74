package model

import "senet/internal/graph"

// bnInceptions is BN-Inception (Ioffe and Szegedy 2015, figure 5) as the SE authors trained it (their Caffe model: no biases in
// convolutions, max pooling that rounds up), and its form with an SE block on the output of each Inception module.
// Parameters have the names of the PyTorch port in pretrained-models (Cadene); the SE modules are inception_3a_se and so on.
// Stages 1 to 3 are the modules 3a-3c, 4a-4e and 5a-5b.
var bnInceptions = map[string]family{"bninception": bnInception, "se_bninception": bnInception}

var bnInception = family{dialect: dialect{se: "_se", head: "last_linear"}, divisor: 1, oneSE: true, build: buildBNInception}

// inception has the output channels of each branch of a module; a module without a 1x1 branch halves the resolution.
type inception struct {
	name                  string
	one                   int
	threeReduce, three    int
	doubleReduce, doubled int
	pool                  func(g *graph.Graph, name string, x *graph.Value, a graph.PoolAttr) *graph.Value
	project               int
}

var inceptions = [][]inception{
	{
		{"inception_3a", 64, 64, 64, 64, 96, (*graph.Graph).AvgPool, 32},
		{"inception_3b", 64, 64, 96, 64, 96, (*graph.Graph).AvgPool, 64},
		{"inception_3c", 0, 128, 160, 64, 96, (*graph.Graph).MaxPool, 0},
	},
	{
		{"inception_4a", 224, 64, 96, 96, 128, (*graph.Graph).AvgPool, 128},
		{"inception_4b", 192, 96, 128, 96, 128, (*graph.Graph).AvgPool, 128},
		{"inception_4c", 160, 128, 160, 128, 160, (*graph.Graph).AvgPool, 128},
		{"inception_4d", 96, 128, 192, 160, 192, (*graph.Graph).AvgPool, 128},
		{"inception_4e", 0, 128, 192, 192, 256, (*graph.Graph).MaxPool, 0},
	},
	{
		{"inception_5a", 352, 192, 320, 160, 224, (*graph.Graph).AvgPool, 128},
		{"inception_5b", 352, 192, 320, 192, 224, (*graph.Graph).MaxPool, 128},
	},
}

func buildBNInception(b *builder, x *graph.Value) *graph.Value {
	shrink := graph.PoolAttr{Kernel: 3, Stride: 2, Ceil: true}
	x = b.g.MaxPool("pool1_3x3_s2", b.convBNReLU("conv1_7x7_s2", x, 64, 7, 2), shrink)
	x = b.convBNReLU("conv2_3x3", b.convBNReLU("conv2_3x3_reduce", x, 64, 1, 1), 192, 3, 1)
	x = b.g.MaxPool("pool2_3x3_s2", x, shrink)
	for i, modules := range inceptions {
		b.stageIndex = i + 1
		for _, m := range modules {
			x = b.exciteAt(Standard, m.name, b.inception(m, x))
		}
	}
	return b.head(x)
}

func (b *builder) inception(m inception, x *graph.Value) *graph.Value {
	var branches []*graph.Value
	stride, pool := 1, graph.PoolAttr{Kernel: 3, Stride: 1, Pad: 1}
	if m.one == 0 {
		stride, pool = 2, graph.PoolAttr{Kernel: 3, Stride: 2, Ceil: true}
	} else {
		branches = append(branches, b.convBNReLU(m.name+"_1x1", x, m.one, 1, 1))
	}
	three := b.convBNReLU(m.name+"_3x3_reduce", x, m.threeReduce, 1, 1)
	double := b.convBNReLU(m.name+"_double_3x3_reduce", x, m.doubleReduce, 1, 1)
	double = b.convBNReLU(m.name+"_double_3x3_1", double, m.doubled, 3, 1)
	branches = append(branches,
		b.convBNReLU(m.name+"_3x3", three, m.three, 3, stride),
		b.convBNReLU(m.name+"_double_3x3_2", double, m.doubled, 3, stride))
	pooled := m.pool(b.g, m.name+"_pool", x, pool)
	if m.project > 0 {
		pooled = b.convBNReLU(m.name+"_pool_proj", pooled, m.project, 1, 1)
	}
	return b.g.Concat(m.name, append(branches, pooled)...)
}

func (b *builder) convBNReLU(name string, x *graph.Value, width, kernel, stride int) *graph.Value {
	return b.g.ReLU(name+"_relu", b.bn(name+"_bn", b.conv(name, x, width, kernel, stride, 1)))
}
