package cpu

// #include "kernels.h"
import "C"

import (
	"unsafe"

	"senet/internal/graph"
)

func normalize(c *compiler, node *graph.Node) (*op, error) {
	image, out, attr := node.In[0], node.Out[0], node.Attr.(graph.NormalizeAttr)
	c.plain[image] = true
	channels := len(attr.Mean)
	coefficients := make([]float32, 2*channels) // (x/255 - mean) / std as x*scale + shift
	for i := range channels {
		coefficients[i] = 1 / (255 * attr.Std[i])
		coefficients[channels+i] = -attr.Mean[i] / attr.Std[i]
	}
	return &op{own: int64(len(coefficients)) * 4, bind: func(m *binding) func() error {
		scale := (*C.float)(unsafe.Pointer(put(m.own, coefficients)))
		a := &C.senet_normalize_args{
			image: (*C.uint8_t)(m.at(image)), out: m.f32(out),
			scale: scale, shift: (*C.float)(unsafe.Add(unsafe.Pointer(scale), channels*4)),
			pixels: C.int64_t(image.Shape[:3].Elems()), c: C.int(channels),
		}
		return func() error {
			C.senet_normalize(a)
			return nil
		}
	}}, nil
}

// elementwise prepares an op of one or two operands of one shape.
func elementwise(run func(*C.senet_elementwise_args)) prepare {
	return func(_ *compiler, node *graph.Node) (*op, error) {
		return kernel(0, func(m *binding) func() {
			a := &C.senet_elementwise_args{a: m.f32(node.In[0]), out: m.f32(node.Out[0]), count: C.int64_t(m.e.floats(node.Out[0]))}
			if len(node.In) > 1 {
				a.b = m.f32(node.In[1])
			}
			return func() { run(a) }
		}), nil
	}
}

func dropout(_ *compiler, node *graph.Node) (*op, error) {
	x, step, attr := node.In[0], node.In[1], node.Attr.(graph.DropoutAttr)
	hw := x.Shape[2:].Elems()
	return kernel(0, func(m *binding) func() {
		a := &C.senet_dropout_args{
			n: C.int(x.Shape[0]), hw: C.int(hw), c: C.int(x.Shape[1]), rate: C.float(attr.Rate), seed: C.uint64_t(attr.Seed),
			step: (*C.int32_t)(m.at(step)), x: m.f32(x), out: m.f32(node.Out[0]),
		}
		return func() { C.senet_dropout(a) }
	}), nil
}

func concat(_ *compiler, node *graph.Node) (*op, error) {
	return concatenation(node.Out[0], node.In, node, func(a *C.senet_concat_args) { C.senet_concat(a) }), nil
}

func concatGrad(_ *compiler, node *graph.Node) (*op, error) {
	return concatenation(node.In[0], node.Out, node, func(a *C.senet_concat_args) { C.senet_concat_grad(a) }), nil
}

// concatenation prepares run over a whole map and its parts, nil where one is not wanted.
func concatenation(whole *graph.Value, parts []*graph.Value, node *graph.Node, run func(*C.senet_concat_args)) *op {
	channels := node.Attr.(graph.ConcatAttr).Channels
	return &op{own: int64(len(parts)) * C.sizeof_senet_concat_map, bind: func(m *binding) func() error {
		list := make([]C.senet_concat_map, len(parts))
		for i, v := range parts {
			list[i] = C.senet_concat_map{_map: m.f32(v), c: C.int(channels[i])}
		}
		a := &C.senet_concat_args{
			pixels: C.int64_t(whole.Shape[0] * whole.Shape[2] * whole.Shape[3]), maps: C.int(len(parts)), c: C.int(whole.Shape[1]),
			list: put(m.own, list), whole: m.f32(whole),
		}
		return func() error {
			run(a)
			return nil
		}
	}}
}

func scale(_ *compiler, node *graph.Node) (*op, error) {
	return kernel(0, func(m *binding) func() {
		a := channelArgs(m, node.In[0])
		a.x, a.gate, a.out = m.f32(node.In[0]), m.f32(node.In[1]), m.f32(node.Out[0])
		return func() { C.senet_scale(a) }
	}), nil
}

func scaleGrad(_ *compiler, node *graph.Node) (*op, error) {
	return kernel(sumsScratch(node.In[1]), func(m *binding) func() {
		a := channelArgs(m, node.In[1])
		a.dy, a.x, a.gate = m.f32(node.In[0]), m.f32(node.In[1]), m.f32(node.In[2])
		a.dx, a.dgate = m.f32(node.Out[0]), m.f32(node.Out[1])
		return func() { C.senet_scale_grad(a) }
	}), nil
}

func runningStats(_ *compiler, node *graph.Node) (*op, error) {
	attr := node.Attr.(graph.RunningStatsAttr)
	unbias := float64(attr.Count) / float64(max(attr.Count-1, 1))
	return kernel(0, func(m *binding) func() {
		a := &C.senet_running_stats_args{
			c: C.int(node.In[0].Shape[0]), momentum: C.float(attr.Momentum), unbias: C.float(unbias),
			mean: m.f32(node.In[0]), _var: m.f32(node.In[1]), running_mean: m.f32(node.Out[0]), running_var: m.f32(node.Out[1]),
		}
		return func() { C.senet_running_stats(a) }
	}), nil
}

func globalNorm(c *compiler, node *graph.Node) (*op, error) {
	scale, grads := node.In[0], node.In[1:]
	var blocks int64
	for _, g := range grads {
		blocks += int64(C.senet_norm_blocks(C.int64_t(c.floats(g))))
	}
	return &op{scratch: blocks * 8, own: int64(len(grads)) * C.sizeof_senet_parameter, bind: func(m *binding) func() error {
		list := make([]C.senet_parameter, len(grads))
		for i, g := range grads {
			list[i] = C.senet_parameter{grad: m.f32(g), count: C.int64_t(m.e.floats(g))}
		}
		a := &C.senet_global_norm_args{
			tensors: C.int(len(list)), parameters: put(m.own, list), loss_scale: m.f32(scale), norm: m.f32(node.Out[0]), scratch: m.scratch,
		}
		return func() error {
			C.senet_global_norm(a)
			return nil
		}
	}}, nil
}
