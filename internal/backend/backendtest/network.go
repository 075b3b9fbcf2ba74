package backendtest

import (
	"math/rand/v2"

	"senet/internal/backend"
	"senet/internal/graph"
)

// network is a small residual network with every form of block, from pixels to loss.
type network struct {
	g    *graph.Graph
	ends graph.Ends
}

const (
	batch, classes = 4, 6
	hidden         = 3 // units of each SE block
)

var (
	imageMean = []float32{0.4, 0.5, 0.6}
	imageStd  = []float32{0.2, 0.25, 0.3}
)

// newNetwork is a network for batches of its own size.
func newNetwork() (*network, error) { return newNetworkOf(1) }

// newNetworkOf takes as many batches at once. It has a stem with pooling, an SE block with an identity shortcut and a grouped
// convolution, one with a projection and stride 2, one whose SE stands after the addition and so is
// not fused, and one without SE.
func newNetworkOf(batches int) (*network, error) {
	g := graph.New()
	net := &network{g: g}
	image := g.Input("image", graph.Shape{batches * batch, 16, 12, 3}, graph.Uint8)
	labels := g.Input("labels", graph.Shape{batches * batch}, graph.Int32)
	x := g.Normalize("normalize", image, imageMean, imageStd)
	x = g.ReLU("act", net.bn("bn", net.conv("conv", x, 8, 3, 1, 1)))
	x = g.MaxPool("pool", x, graph.PoolAttr{Kernel: 3, Stride: 2, Pad: 1})
	x = net.block("identity", x, 8, 1, 2, "standard")
	x = net.block("projection", x, 16, 2, 1, "standard")
	x = net.block("post", x, 16, 1, 1, "post")
	x = net.block("plain", x, 24, 1, 1, "none")
	logits := net.linear("fc", g.GlobalAvgPool("global_pool", x), classes)
	net.ends = graph.Ends{
		Image: image, Labels: labels, Logits: logits,
		Loss:    g.SoftmaxCrossEntropy("loss", logits, graph.Targets{Labels: labels}, graph.LossAttr{Smoothing: 0.1}),
		Correct: g.Accuracy("accuracy", logits, labels),
	}
	return net, g.Err()
}

// block is two convolutions and a shortcut. se is "standard" (before the addition), "post" (after its ReLU) or "none".
func (net *network) block(name string, x *graph.Value, width, stride, groups int, se string) *graph.Value {
	y := net.conv(name+".conv1", x, width, 3, stride, groups)
	y = net.g.ReLU(name+".act1", net.bn(name+".bn1", y))
	y = net.bn(name+".bn2", net.conv(name+".conv2", y, width, 1, 1, 1))
	if se == "standard" {
		y = net.excite(name+".se", y)
	}
	if stride != 1 || x.Shape[1] != width {
		x = net.bn(name+".downsample.1", net.conv(name+".downsample.0", x, width, 1, stride, 1))
	}
	y = net.g.ReLU(name+".act2", net.g.Add(name+".add", y, x))
	if se == "post" {
		y = net.excite(name+".se", y)
	}
	return y
}

func (net *network) conv(name string, x *graph.Value, width, kernel, stride, groups int) *graph.Value {
	w := net.g.Param(name+".weight", graph.Shape{width, x.Shape[1] / groups, kernel, kernel}, graph.Kaiming())
	return net.g.Conv(name, x, w, nil, graph.ConvAttr{Stride: stride, Pad: kernel / 2, Groups: groups})
}

func (net *network) bn(name string, x *graph.Value) *graph.Value {
	c := graph.Shape{x.Shape[1]}
	return net.g.BatchNorm(
		name, x,
		net.g.Param(name+".weight", c, graph.Ones()),
		net.g.Param(name+".bias", c, graph.Uniform(0.5)),
		net.g.State(name+".running_mean", c, graph.Zeros()),
		net.g.State(name+".running_var", c, graph.Ones()),
		graph.BatchNormAttr{Eps: eps, Momentum: 0.1},
	)
}

func (net *network) excite(name string, x *graph.Value) *graph.Value {
	z := net.g.GlobalAvgPool(name+".squeeze", x)
	h := net.g.ReLU(name+".act", net.linear(name+".fc1", z, hidden))
	return net.g.Scale(name+".scale", x, net.g.Sigmoid(name+".gate", net.linear(name+".fc2", h, x.Shape[1])))
}

func (net *network) linear(name string, x *graph.Value, out int) *graph.Value {
	w := net.g.Param(name+".weight", graph.Shape{out, x.Shape[1], 1, 1}, graph.Uniform(0.5))
	return net.g.Linear(name, x, w, net.g.Param(name+".bias", graph.Shape{out}, graph.Uniform(0.5)))
}

func (net *network) training(unfused bool) (*graph.Program, error) {
	return graph.Training(net.g, net.ends, graph.TrainingOptions{
		Unfused: unfused,
		SGD:     graph.SGDOptions{Momentum: 0.9, WeightDecay: 1e-3, Nesterov: true},
	})
}

func (net *network) inference(unfused bool) (*graph.Program, error) {
	return graph.Inference(net.g, net.ends, graph.InferenceOptions{Unfused: unfused})
}

// write puts the pixels and labels of batch number step on exe, or of the next ones where the network takes several; the last row
// of each is not counted.
func (net *network) write(exe backend.Executable, step int) error {
	pixels, labels := make([]uint8, net.ends.Image.Shape.Elems()), make([]int32, net.ends.Labels.Shape.Elems())
	batches := len(labels) / batch
	for k := range batches {
		random := rand.New(rand.NewPCG(2, uint64(step+k)))
		for i := range len(pixels) / batches {
			pixels[k*len(pixels)/batches+i] = uint8(random.IntN(256))
		}
		for i := range batch {
			labels[k*batch+i] = int32(random.IntN(classes))
		}
		labels[(k+1)*batch-1] = -1
	}
	if err := exe.Write(net.ends.Image, host(net.ends.Image, pixels)); err != nil {
		return err
	}
	return exe.Write(net.ends.Labels, host(net.ends.Labels, labels))
}

// start compiles p on b with the network's initial parameters and states.
func (net *network) start(b backend.Backend, p *graph.Program) (backend.Executable, error) {
	exe, err := b.Compile(p)
	if err != nil {
		return nil, err
	}
	for _, v := range append(net.g.Params(), net.g.States()...) {
		if err := exe.Write(v, host(v, v.Fill(1))); err != nil {
			return nil, err
		}
	}
	return exe, nil
}
