package cpu

// #include "kernels.h"
import "C"

import "senet/internal/graph"

// channelArgs are the arguments of a kernel between maps like x and per-image vectors.
func channelArgs(m *binding, x *graph.Value) *C.senet_channel_args {
	n, hw, c := dims(x)
	return &C.senet_channel_args{n: n, hw: hw, c: c, scratch: m.scratch}
}

// sumsScratch is what a kernel needs that sums over the pixels of x.
func sumsScratch(x *graph.Value) int64 {
	n, hw, c := dims(x)
	return int64(C.senet_sums_scratch(n, hw, c))
}

func globalAvgPool(_ *compiler, node *graph.Node) (*op, error) {
	return kernel(sumsScratch(node.In[0]), func(m *binding) func() {
		a := channelArgs(m, node.In[0])
		a.x, a.out = m.f32(node.In[0]), m.f32(node.Out[0])
		return func() { C.senet_global_avg_pool(a) }
	}), nil
}

func globalAvgPoolGrad(_ *compiler, node *graph.Node) (*op, error) {
	return kernel(0, func(m *binding) func() {
		a := channelArgs(m, node.Out[0])
		a.dy, a.dx = m.f32(node.In[0]), m.f32(node.Out[0])
		return func() { C.senet_global_avg_pool_grad(a) }
	}), nil
}

func maxPool(_ *compiler, node *graph.Node) (*op, error) {
	x, y, attr := node.In[0], node.Out[0], node.Attr.(graph.PoolAttr)
	return kernel(0, func(m *binding) func() {
		a := &C.senet_max_pool_args{
			n: C.int(x.Shape[0]), c: C.int(x.Shape[1]), h: C.int(x.Shape[2]), w: C.int(x.Shape[3]), p: C.int(y.Shape[2]), q: C.int(y.Shape[3]),
			kernel: C.int(attr.Kernel), stride: C.int(attr.Stride), pad: C.int(attr.Pad),
			x: m.f32(x), y: m.f32(y), position: (*C.uint8_t)(m.at(node.Out[1])),
		}
		return func() { C.senet_max_pool(a) }
	}), nil
}

func maxPoolGrad(_ *compiler, node *graph.Node) (*op, error) {
	dy, dx, attr := node.In[0], node.Out[0], node.Attr.(graph.PoolAttr)
	return kernel(0, func(m *binding) func() {
		a := &C.senet_max_pool_grad_args{
			n: C.int(dx.Shape[0]), c: C.int(dx.Shape[1]), h: C.int(dx.Shape[2]), w: C.int(dx.Shape[3]), p: C.int(dy.Shape[2]), q: C.int(dy.Shape[3]),
			kernel: C.int(attr.Kernel), stride: C.int(attr.Stride), pad: C.int(attr.Pad),
			dy: m.f32(dy), dx: m.f32(dx), position: (*C.uint8_t)(m.at(node.In[1])),
		}
		return func() { C.senet_max_pool_grad(a) }
	}), nil
}

func avgPool(_ *compiler, node *graph.Node) (*op, error) {
	return averaging(node.In[0], node.Out[0], node, func(a *C.senet_avg_pool_args) { C.senet_avg_pool(a) }), nil
}

func avgPoolGrad(_ *compiler, node *graph.Node) (*op, error) {
	return averaging(node.Out[0], node.In[0], node, func(a *C.senet_avg_pool_args) { C.senet_avg_pool_grad(a) }), nil
}

// averaging prepares run between the large map x (N, C, H, W) and the pooled y (N, C, P, Q).
func averaging(x, y *graph.Value, node *graph.Node, run func(*C.senet_avg_pool_args)) *op {
	attr := node.Attr.(graph.PoolAttr)
	return kernel(0, func(m *binding) func() {
		a := &C.senet_avg_pool_args{
			n: C.int(x.Shape[0]), c: C.int(x.Shape[1]), h: C.int(x.Shape[2]), w: C.int(x.Shape[3]), p: C.int(y.Shape[2]), q: C.int(y.Shape[3]),
			kernel: C.int(attr.Kernel), stride: C.int(attr.Stride), pad: C.int(attr.Pad), in: m.f32(node.In[0]), out: m.f32(node.Out[0]),
		}
		return func() { run(a) }
	})
}

func globalMaxPool(_ *compiler, node *graph.Node) (*op, error) {
	n, hw, c := dims(node.In[0])
	return kernel(0, func(m *binding) func() {
		a := &C.senet_global_max_pool_args{n: n, hw: hw, c: c, x: m.f32(node.In[0]), y: m.f32(node.Out[0]), pixel: (*C.int32_t)(m.at(node.Out[1]))}
		return func() { C.senet_global_max_pool(a) }
	}), nil
}

func globalMaxPoolGrad(_ *compiler, node *graph.Node) (*op, error) {
	n, hw, c := dims(node.Out[0])
	return kernel(0, func(m *binding) func() {
		a := &C.senet_global_max_pool_grad_args{n: n, hw: hw, c: c, dy: m.f32(node.In[0]), pixel: (*C.int32_t)(m.at(node.In[1])), dx: m.f32(node.Out[0])}
		return func() { C.senet_global_max_pool_grad(a) }
	}), nil
}
