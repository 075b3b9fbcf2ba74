package graph

// Normalize turns decoded pixels (N, H, W, C) uint8 into a normalised feature map (N, C, H, W).
func (g *Graph) Normalize(name string, image *Value, mean, std []float32) *Value {
	if len(image.Shape) != 4 || image.DType != Uint8 {
		g.fail("%s: want pixels (N, H, W, C) uint8, have %s %s", name, image.Shape, image.DType)
		return g.broken(Shape{1, 1, 1, 1})
	}
	n, h, w, c := image.Shape[0], image.Shape[1], image.Shape[2], image.Shape[3]
	if len(mean) != c || len(std) != c {
		g.fail("%s: %d channels need as many means and deviations, have %d and %d", name, c, len(mean), len(std))
	}
	return g.node(Normalize, name, NormalizeAttr{mean, std}, []*Value{image}, Shape{n, c, h, w})[0]
}

// window is the output length of a window sliding over n padded pixels, or 0 when it does not fit.
func window(n, kernel, stride, pad int, ceil bool) int {
	span := n + 2*pad - kernel
	if span < 0 || stride < 1 {
		return 0
	}
	out := span/stride + 1
	if ceil && span%stride != 0 && out*stride < n+pad {
		out++ // the last, partial window starts inside the image or its left padding
	}
	return out
}

// Conv convolves x (N, C, H, W) with w (K, C/groups, R, S) and adds bias (K) unless it is nil.
func (g *Graph) Conv(name string, x, w, bias *Value, a ConvAttr) *Value {
	if !g.rank4(name, x) || !g.rank4(name, w) {
		return g.broken(Shape{1, 1, 1, 1})
	}
	k := w.Shape[0]
	p := window(x.Shape[2], w.Shape[2], a.Stride, a.Pad, false)
	q := window(x.Shape[3], w.Shape[3], a.Stride, a.Pad, false)
	switch {
	case a.Groups < 1 || x.Shape[1] != w.Shape[1]*a.Groups || k%a.Groups != 0:
		g.fail("%s: weight %s with %d groups does not fit input %s", name, w.Shape, a.Groups, x.Shape)
	case p < 1 || q < 1:
		g.fail("%s: window %s, stride %d, pad %d does not fit input %s", name, w.Shape, a.Stride, a.Pad, x.Shape)
	case bias != nil && !bias.Shape.Equal(Shape{k}):
		g.fail("%s: bias %s, want (%d)", name, bias.Shape, k)
	}
	return g.node(Conv, name, a, []*Value{x, w, bias, nil, nil}, Shape{x.Shape[0], k, max(p, 1), max(q, 1)})[0]
}

// BatchNorm normalises x (N, C, H, W) per channel; all four vectors are (C).
func (g *Graph) BatchNorm(name string, x, gamma, beta, runningMean, runningVar *Value, a BatchNormAttr) *Value {
	if !g.rank4(name, x) {
		return g.broken(x.Shape)
	}
	c := Shape{x.Shape[1]}
	for _, v := range []*Value{gamma, beta, runningMean, runningVar} {
		if !v.Shape.Equal(c) {
			g.fail("%s: %q is %s, want %s", name, v.Name, v.Shape, c)
		}
	}
	return g.node(BatchNorm, name, a, []*Value{x, gamma, beta, runningMean, runningVar}, x.Shape, c, c)[0]
}

// ReLU is max(x, 0).
func (g *Graph) ReLU(name string, x *Value) *Value {
	return g.node(ReLU, name, nil, []*Value{x}, x.Shape)[0]
}

// Sigmoid is 1/(1+exp(-x)).
func (g *Graph) Sigmoid(name string, x *Value) *Value {
	return g.node(Sigmoid, name, nil, []*Value{x}, x.Shape)[0]
}

// HardSigmoid is the sigmoid in three straight pieces.
func (g *Graph) HardSigmoid(name string, x *Value) *Value {
	return g.node(HardSigmoid, name, nil, []*Value{x}, x.Shape)[0]
}

// Tanh is the hyperbolic tangent.
func (g *Graph) Tanh(name string, x *Value) *Value {
	return g.node(Tanh, name, nil, []*Value{x}, x.Shape)[0]
}

// Dropout zeroes a share of x in training and does nothing in inference; step (1) int32 counts the training steps.
func (g *Graph) Dropout(name string, x, step *Value, rate float32) *Value {
	if !(rate >= 0 && rate < 1) || step.DType != Int32 || !step.Shape.Equal(Shape{1}) {
		g.fail("%s: rate %v, step %s %s: want [0, 1) and (1) int32", name, rate, step.Shape, step.DType)
	}
	return g.node(Dropout, name, DropoutAttr{Rate: rate, Seed: nameHash(name)}, []*Value{x, step}, x.Shape)[0]
}

// Concat joins the channels of maps (N, Ci, H, W) in order.
func (g *Graph) Concat(name string, xs ...*Value) *Value {
	if len(xs) == 0 {
		g.fail("%s: nothing to concatenate", name)
		return g.broken(Shape{1, 1, 1, 1})
	}
	var a ConcatAttr
	c := 0
	for _, x := range xs {
		if !g.rank4(name, x) || x.Shape[0] != xs[0].Shape[0] || !x.Shape[2:].Equal(xs[0].Shape[2:]) {
			g.fail("%s: %s does not go beside %s", name, x.Shape, xs[0].Shape)
			return g.broken(Shape{1, 1, 1, 1})
		}
		a.Channels = append(a.Channels, x.Shape[1])
		c += x.Shape[1]
	}
	s := xs[0].Shape
	return g.node(Concat, name, a, xs, Shape{s[0], c, s[2], s[3]})[0]
}

// Add sums the residual branch and the shortcut, both of one shape.
func (g *Graph) Add(name string, branch, shortcut *Value) *Value {
	if !branch.Shape.Equal(shortcut.Shape) {
		g.fail("%s: residual branch %s and shortcut %s differ", name, branch.Shape, shortcut.Shape)
	}
	return g.node(Add, name, nil, []*Value{branch, shortcut}, branch.Shape)[0]
}

// GlobalAvgPool is the mean over pixels: (N, C, H, W) to (N, C).
func (g *Graph) GlobalAvgPool(name string, x *Value) *Value {
	if !g.rank4(name, x) {
		return g.broken(Shape{1, 1})
	}
	return g.node(GlobalAvgPool, name, nil, []*Value{x}, x.Shape[:2:2])[0]
}

// GlobalMaxPool is the maximum over pixels: (N, C, H, W) to (N, C).
func (g *Graph) GlobalMaxPool(name string, x *Value) *Value {
	if !g.rank4(name, x) {
		return g.broken(Shape{1, 1})
	}
	nc := x.Shape[:2:2]
	out := g.node(GlobalMaxPool, name, nil, []*Value{x}, nc, nc)
	out[1].DType = Int32
	return out[0]
}

// Linear is the fully connected layer x (N, I) times w (O, I) or (O, I, 1, 1), plus bias (O) unless nil.
func (g *Graph) Linear(name string, x, w, bias *Value) *Value {
	if len(x.Shape) != 2 || len(w.Shape) < 2 || w.Shape[1] != x.Shape[1] || w.Shape[2:].Elems() != 1 {
		g.fail("%s: weight %s does not fit input %s", name, w.Shape, x.Shape)
		return g.broken(Shape{1, 1})
	}
	o := w.Shape[0]
	if bias != nil && !bias.Shape.Equal(Shape{o}) {
		g.fail("%s: bias %s, want (%d)", name, bias.Shape, o)
	}
	return g.node(Linear, name, nil, []*Value{x, w, bias}, Shape{x.Shape[0], o})[0]
}

// Scale multiplies each channel of x (N, C, H, W) by its gate (N, C).
func (g *Graph) Scale(name string, x, gate *Value) *Value {
	if !g.rank4(name, x) || !gate.Shape.Equal(x.Shape[:2]) {
		g.fail("%s: gate %s does not fit %s", name, gate.Shape, x.Shape)
		return g.broken(x.Shape)
	}
	return g.node(Scale, name, nil, []*Value{x, gate}, x.Shape)[0]
}

// MaxPool takes the maximum of each window of x (N, C, H, W).
func (g *Graph) MaxPool(name string, x *Value, a PoolAttr) *Value {
	s := g.pooled(name, x, a)
	out := g.node(MaxPool, name, a, []*Value{x}, s, s)
	out[1].DType = Uint8
	return out[0]
}

// AvgPool takes the mean of each window of x (N, C, H, W), padding included (torch.nn.AvgPool2d's default).
func (g *Graph) AvgPool(name string, x *Value, a PoolAttr) *Value {
	return g.node(AvgPool, name, a, []*Value{x}, g.pooled(name, x, a))[0]
}

// pooled is the shape of x after pooling.
func (g *Graph) pooled(name string, x *Value, a PoolAttr) Shape {
	if !g.rank4(name, x) {
		return Shape{1, 1, 1, 1}
	}
	p := window(x.Shape[2], a.Kernel, a.Stride, a.Pad, a.Ceil)
	q := window(x.Shape[3], a.Kernel, a.Stride, a.Pad, a.Ceil)
	if p < 1 || q < 1 || a.Pad >= a.Kernel || a.Kernel > 15 {
		g.fail("%s: window %d, stride %d, pad %d does not fit input %s", name, a.Kernel, a.Stride, a.Pad, x.Shape)
		p, q = 1, 1
	}
	return Shape{x.Shape[0], x.Shape[1], p, q}
}

// Targets are what a loss wants of logits (N, K).
type Targets struct {
	Labels *Value // (N) int32, -1 for rows to ignore
	// MixedLabels (N) int32 are of the images that were mixed in, and Share (N) is of Labels in the target; both nil without mixing.
	MixedLabels, Share *Value
}

// SoftmaxCrossEntropy is the mean loss (1) of logits (N, K).
func (g *Graph) SoftmaxCrossEntropy(name string, logits *Value, t Targets, a LossAttr) *Value {
	g.checkTargets(name, logits, t)
	return g.node(SoftmaxCrossEntropy, name, a, []*Value{logits, t.Labels, t.MixedLabels, t.Share}, Shape{1}, logits.Shape)[0]
}

// BinaryCrossEntropy is the mean loss (1) of logits (N, K), each class for itself.
func (g *Graph) BinaryCrossEntropy(name string, logits *Value, t Targets, a BinaryLossAttr) *Value {
	g.checkTargets(name, logits, t)
	return g.node(BinaryCrossEntropy, name, a, []*Value{logits, t.Labels, t.MixedLabels, t.Share}, Shape{1})[0]
}

func (g *Graph) checkTargets(name string, logits *Value, t Targets) {
	g.checkLabels(name, logits, t.Labels)
	if (t.MixedLabels == nil) != (t.Share == nil) {
		g.fail("%s: mixed labels and their share go together", name)
		return
	}
	if t.MixedLabels != nil {
		g.checkLabels(name, logits, t.MixedLabels)
		if t.Share.DType != Float32 || !t.Share.Shape.Equal(t.Labels.Shape) {
			g.fail("%s: labels %s need a share (N) float32, have %s %s", name, t.Labels.Shape, t.Share.Shape, t.Share.DType)
		}
	}
}

// Accuracy counts (3) int32: labelled rows, and those right within the first 1 and 5 classes.
func (g *Graph) Accuracy(name string, logits, labels *Value) *Value {
	g.checkLabels(name, logits, labels)
	out := g.node(Accuracy, name, nil, []*Value{logits, labels}, Shape{3})[0]
	out.DType = Int32
	return out
}

func (g *Graph) checkLabels(name string, logits, labels *Value) {
	if len(logits.Shape) != 2 || labels.DType != Int32 || !labels.Shape.Equal(logits.Shape[:1]) {
		g.fail("%s: logits %s need labels (N) int32, have %s %s", name, logits.Shape, labels.Shape, labels.DType)
	}
}
