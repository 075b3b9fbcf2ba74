package cpu

// #include "kernels.h"
// #include "onednn.h"
import "C"

import (
	"fmt"
	"unsafe"

	"senet/internal/graph"
)

// prepares has every op that this backend runs.
var prepares = map[graph.Op]prepare{
	graph.Conv:           conv,
	graph.ConvGradInput:  convGradInput,
	graph.ConvGradWeight: convGradWeight,
	graph.FoldBN:         foldBN,
	graph.Linear:         linear,
	graph.LinearGrad:     linearGrad,

	graph.Normalize:               normalize,
	graph.BatchNorm:               batchNorm,
	graph.BatchNormGrad:           batchNormGrad,
	graph.BNSEAddReLU:             bnSEAddReLU,
	graph.BNSEAddReLUGrad:         bnSEAddReLUGrad,
	graph.ReLU:                    elementwise(func(a *C.senet_elementwise_args) { C.senet_relu(a) }),
	graph.ReLUGrad:                elementwise(func(a *C.senet_elementwise_args) { C.senet_relu_grad(a) }),
	graph.Sigmoid:                 elementwise(func(a *C.senet_elementwise_args) { C.senet_sigmoid(a) }),
	graph.SigmoidGrad:             elementwise(func(a *C.senet_elementwise_args) { C.senet_sigmoid_grad(a) }),
	graph.Add:                     elementwise(func(a *C.senet_elementwise_args) { C.senet_add(a) }),
	graph.GlobalAvgPool:           globalAvgPool,
	graph.GlobalAvgPoolGrad:       globalAvgPoolGrad,
	graph.Scale:                   scale,
	graph.ScaleGrad:               scaleGrad,
	graph.MaxPool:                 maxPool,
	graph.MaxPoolGrad:             maxPoolGrad,
	graph.SoftmaxCrossEntropy:     softmaxCrossEntropy,
	graph.SoftmaxCrossEntropyGrad: softmaxCrossEntropyGrad,
	graph.Accuracy:                accuracy,
	graph.EarlySqueeze:            earlySqueeze,
	graph.Excitation:              excitation,
	graph.RunningStats:            runningStats,
	graph.SGD:                     sgd,
	graph.GlobalNorm:              globalNorm,
}

// convShape is the geometry of a convolution from x (N, C, H, W) with weight w to y (N, K, P, Q).
func convShape(x, w, y graph.Shape, a graph.ConvAttr) C.senet_conv_shape {
	return C.senet_conv_shape{
		n: C.int(x[0]), c: C.int(x[1]), h: C.int(x[2]), w: C.int(x[3]),
		k: C.int(w[0]), r: C.int(w[2]), s: C.int(w[3]), p: C.int(y[2]), q: C.int(y[3]),
		stride: C.int(a.Stride), pad: C.int(a.Pad), groups: C.int(a.Groups),
	}
}

// primitive is an op that is one oneDNN primitive over the given operands.
func (c *compiler) primitive(p *C.senet_primitive, operands ...*graph.Value) *op {
	engine := c.b.engine
	return &op{
		scratch: int64(C.senet_primitive_scratch(p)),
		bind: func(m *binding) func() error {
			var args [8]unsafe.Pointer
			for i, v := range operands {
				args[i] = m.at(v)
			}
			C.senet_primitive_bind(p, &args[0], m.scratch)
			return func() error { return message(C.senet_primitive_run(engine, p)) }
		},
		free: func() { C.senet_primitive_free(p) },
	}
}

// weightOf is the layout that v already has, or a new empty one for shape.
func (c *compiler) weightOf(v *graph.Value, shape C.senet_conv_shape) *weight {
	if w := c.weights[v]; w != nil {
		return w
	}
	w := &weight{shape: shape}
	c.weights[v] = w
	return w
}

// conv is the forward convolution. Bias, residual and ReLU run inside oneDNN's. oneDNN 3.2 has no
// post-op that broadcasts (N, K), so with a gate all but the bias is one more pass over y.
func conv(c *compiler, n *graph.Node) (*op, error) {
	x, w, bias, gate, residual, y := n.In[0], n.In[1], n.In[2], n.In[3], n.In[4], n.Out[0]
	attr := n.Attr.(graph.ConvAttr)
	shape := convShape(x.Shape, w.Shape, y.Shape, attr)
	operands := []*graph.Value{x, w, y}
	epilogue := 0
	if bias != nil {
		epilogue |= C.SENET_CONV_BIAS
		operands = append(operands, bias)
	}
	if residual != nil && gate == nil {
		epilogue |= C.SENET_CONV_RESIDUAL
		operands = append(operands, residual)
	}
	if attr.ReLU && gate == nil {
		epilogue |= C.SENET_CONV_RELU
	}
	var p *C.senet_primitive
	wl := c.weightOf(w, shape)
	if err := message(C.senet_conv_new(c.b.engine, &shape, C.int(epilogue), inference(c, n), &wl.layout, &p)); err != nil {
		return nil, err
	}
	o := c.primitive(p, operands...)
	if gate != nil {
		o.withGate(n)
	}
	return o, nil
}

// withGate makes o end in the pass out = relu?(gate y + residual) over its own output.
func (o *op) withGate(n *graph.Node) {
	gate, residual, y := n.In[3], n.In[4], n.Out[0]
	convolve := o.bind
	o.bind = func(m *binding) func() error {
		run := convolve(m)
		a := &C.senet_gate_add_relu_args{
			n: C.int(y.Shape[0]), hw: C.int(y.Shape[2] * y.Shape[3]), c: C.int(y.Shape[1]), relu: cbool(n.Attr.(graph.ConvAttr).ReLU),
			x: m.f32(y), gate: m.f32(gate), shortcut: m.f32(residual), out: m.f32(y),
		}
		return func() error {
			if err := run(); err != nil {
				return err
			}
			C.senet_gate_add_relu(a)
			return nil
		}
	}
}

// inference reports whether n's weight is never trained here, so oneDNN need not keep anything for a gradient.
func inference(_ *compiler, n *graph.Node) C.int { return cbool(n.In[1].Role != graph.Param) }

func cbool(b bool) C.int {
	if b {
		return 1
	}
	return 0
}

func convGradInput(c *compiler, n *graph.Node) (*op, error) {
	dy, w, dx := n.In[0], n.In[1], n.Out[0]
	shape := convShape(dx.Shape, w.Shape, dy.Shape, n.Attr.(graph.ConvAttr))
	wl := c.weightOf(w, shape)
	var p *C.senet_primitive
	if err := message(C.senet_conv_grad_input_new(c.b.engine, &shape, &wl.layout, &p)); err != nil {
		return nil, err
	}
	return c.primitive(p, dy, w, dx), nil
}

func convGradWeight(c *compiler, n *graph.Node) (*op, error) {
	dy, x, dw, db := n.In[0], n.In[1], n.Out[0], n.Out[1]
	shape := convShape(x.Shape, dw.Shape, dy.Shape, n.Attr.(graph.ConvAttr))
	if w := c.weights[c.gradOf[dw]]; w != nil {
		c.weights[dw] = w // one layout for weight and gradient: the update runs over the raw floats of both
	}
	wl := c.weightOf(dw, shape)
	operands := []*graph.Value{dy, x, dw}
	if db != nil {
		operands = append(operands, db)
	}
	var p *C.senet_primitive
	if err := message(C.senet_conv_grad_weight_new(c.b.engine, &shape, cbool(db != nil), &wl.layout, &p)); err != nil {
		return nil, err
	}
	return c.primitive(p, operands...), nil
}

// foldBN keeps the folded weight in plain order too: early_squeeze reads that.
func foldBN(c *compiler, n *graph.Node) (*op, error) {
	w, gamma, beta, mean, variance, fw, fb := n.In[0], n.In[1], n.In[2], n.In[3], n.In[4], n.Out[0], n.Out[1]
	if c.weights[w] != nil {
		return nil, fmt.Errorf("weight %q is also used unfolded", w.Name)
	}
	c.plain[w] = true
	engine := c.b.engine
	return &op{own: fw.Bytes(), bind: func(m *binding) func() error {
		plain := (*C.float)(m.own)
		m.e.folded[fw] = plain
		packed := m.e.weights[fw]
		if packed == nil {
			m.e.plain[fw] = true
		}
		a := &C.senet_fold_bn_args{
			k: C.int(w.Shape[0]), per: C.int(w.Shape[1:].Elems()), eps: C.float(n.Attr.(graph.BatchNormAttr).Eps),
			weight: m.f32(w), gamma: m.f32(gamma), beta: m.f32(beta), mean: m.f32(mean), _var: m.f32(variance),
			out: plain, bias: m.f32(fb),
		}
		if packed == nil {
			a.out = m.f32(fw)
		}
		return func() error {
			C.senet_fold_bn(a)
			if packed == nil {
				return nil
			}
			return message(C.senet_layout_pack(engine, &packed.shape, packed.layout, plain, m.f32(fw)))
		}
	}}, nil
}
