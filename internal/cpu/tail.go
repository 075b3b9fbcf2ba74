package cpu

// #include "kernels.h"
import "C"

import (
	"fmt"
	"unsafe"

	"senet/internal/backend"
	"senet/internal/graph"
)

// dims are the sizes that kernels over maps take: images, pixels and channels of x (N, C, H, W).
func dims(x *graph.Value) (n, hw, c C.int) {
	return C.int(x.Shape[0]), C.int(x.Shape[2] * x.Shape[3]), C.int(x.Shape[1])
}

// kernel is an op that is one of our own kernels.
func kernel(scratch int64, bind func(m *binding) func()) *op {
	return &op{scratch: scratch, bind: func(m *binding) func() error {
		run := bind(m)
		return func() error {
			run()
			return nil
		}
	}}
}

func tailScratch(x *graph.Value, hidden int) int64 {
	n, hw, c := dims(x)
	return int64(C.senet_tail_scratch(n, hw, c, C.int(hidden)))
}

// hiddenUnits is R of the SE weights w1 (R, C), 0 without SE.
func hiddenUnits(w1 *graph.Value) int {
	if w1 == nil {
		return 0
	}
	return w1.Shape[0]
}

func bnSEAddReLU(_ *compiler, node *graph.Node) (*op, error) {
	in, out, attr := node.In, node.Out, node.Attr.(graph.BNSEAddReLUAttr)
	y, r := in[graph.TailY], hiddenUnits(in[graph.TailW1])
	n, hw, c := dims(y)
	maps := C.int(1)
	if in[graph.TailShortcutGamma] != nil {
		maps = 2
	}
	return &op{scratch: tailScratch(y, r), own: meeting(attr.Sync, maps*c), bind: func(m *binding) func() error {
		a := &C.senet_bn_se_add_relu_args{
			n: n, hw: hw, c: c, r: C.int(r), relu: cbool(attr.ReLU), eps: C.float(attr.Eps), shortcut_eps: C.float(attr.ShortcutEps),
			y: m.f32(y), shortcut: m.f32(in[graph.TailShortcut]),
			gamma: m.f32(in[graph.TailGamma]), beta: m.f32(in[graph.TailBeta]),
			shortcut_gamma: m.f32(in[graph.TailShortcutGamma]), shortcut_beta: m.f32(in[graph.TailShortcutBeta]),
			w1: m.f32(in[graph.TailW1]), b1: m.f32(in[graph.TailB1]), w2: m.f32(in[graph.TailW2]), b2: m.f32(in[graph.TailB2]),
			out: m.f32(out[graph.TailOut]), mean: m.f32(out[graph.TailMean]), _var: m.f32(out[graph.TailVar]),
			shortcut_mean: m.f32(out[graph.TailShortcutMean]), shortcut_var: m.f32(out[graph.TailShortcutVar]),
			image_mean: m.f32(out[graph.TailImageMean]), hidden: m.f32(out[graph.TailHidden]), gate: m.f32(out[graph.TailGate]),
			scratch: m.scratch,
		}
		return m.tail(a, attr.Sync)
	}}, nil
}

func bnSEAddReLUGrad(_ *compiler, node *graph.Node) (*op, error) {
	attr := node.Attr.(graph.BNSEAddReLUAttr)
	in, out := node.In[graph.TailGradIn:], node.Out
	saved := func(i int) *graph.Value { return node.In[graph.TailGradSaved+i] }
	if attr.ReLU && node.In[graph.TailGradOut] == nil && (in[graph.TailShortcutGamma] != nil || out[graph.TailShortcut] != nil) {
		return nil, fmt.Errorf("a ReLU over a shortcut needs the forward's output as its mask: %w", backend.ErrUnsupported)
	}
	y, r := in[graph.TailY], hiddenUnits(in[graph.TailW1])
	n, hw, c := dims(y)
	own := meeting(attr.Sync, gradSums(in[graph.TailShortcutGamma] != nil)*c)
	return &op{scratch: tailScratch(y, r), own: own, bind: func(m *binding) func() error {
		a := &C.senet_bn_se_add_relu_grad_args{
			n: n, hw: hw, c: c, r: C.int(r), relu: cbool(attr.ReLU), eps: C.float(attr.Eps), shortcut_eps: C.float(attr.ShortcutEps),
			dout: m.f32(node.In[graph.TailGradDOut]), dout2: m.f32(node.In[graph.TailGradDOut2]), out: m.f32(node.In[graph.TailGradOut]),
			y: m.f32(y), shortcut: m.f32(in[graph.TailShortcut]),
			gamma: m.f32(in[graph.TailGamma]), beta: m.f32(in[graph.TailBeta]),
			shortcut_gamma: m.f32(in[graph.TailShortcutGamma]), shortcut_beta: m.f32(in[graph.TailShortcutBeta]),
			w1: m.f32(in[graph.TailW1]), w2: m.f32(in[graph.TailW2]),
			mean: m.f32(saved(graph.TailMean)), _var: m.f32(saved(graph.TailVar)),
			shortcut_mean: m.f32(saved(graph.TailShortcutMean)), shortcut_var: m.f32(saved(graph.TailShortcutVar)),
			image_mean: m.f32(saved(graph.TailImageMean)), hidden: m.f32(saved(graph.TailHidden)), gate: m.f32(saved(graph.TailGate)),
			dy: m.f32(out[graph.TailY]), dshortcut: m.f32(out[graph.TailShortcut]),
			dgamma: m.f32(out[graph.TailGamma]), dbeta: m.f32(out[graph.TailBeta]),
			dshortcut_gamma: m.f32(out[graph.TailShortcutGamma]), dshortcut_beta: m.f32(out[graph.TailShortcutBeta]),
			dw1: m.f32(out[graph.TailW1]), db1: m.f32(out[graph.TailB1]), dw2: m.f32(out[graph.TailW2]), db2: m.f32(out[graph.TailB2]),
			scratch: m.scratch,
		}
		return m.tailGrad(a, attr.Sync)
	}}, nil
}

// batchNorm is the tail with nothing after the normalisation.
func batchNorm(_ *compiler, node *graph.Node) (*op, error) {
	y, attr := node.In[0], node.Attr.(graph.BatchNormAttr)
	n, hw, c := dims(y)
	return &op{scratch: tailScratch(y, 0), own: meeting(attr.Sync, c), bind: func(m *binding) func() error {
		a := &C.senet_bn_se_add_relu_args{
			n: n, hw: hw, c: c, eps: C.float(attr.Eps),
			y: m.f32(y), gamma: m.f32(node.In[1]), beta: m.f32(node.In[2]),
			out: m.f32(node.Out[0]), mean: m.f32(node.Out[1]), _var: m.f32(node.Out[2]), scratch: m.scratch,
		}
		return m.tail(a, attr.Sync)
	}}, nil
}

func batchNormGrad(_ *compiler, node *graph.Node) (*op, error) {
	dy, x, gamma, attr := node.In[0], node.In[1], node.In[2], node.Attr.(graph.BatchNormAttr)
	n, hw, c := dims(x)
	return &op{scratch: tailScratch(x, 0), own: meeting(attr.Sync, gradSums(false)*c), bind: func(m *binding) func() error {
		a := &C.senet_bn_se_add_relu_grad_args{
			n: n, hw: hw, c: c, eps: C.float(attr.Eps),
			dout: m.f32(dy), y: m.f32(x), gamma: m.f32(gamma), // beta matters to the ReLU's mask and to SE alone
			mean: m.f32(node.In[3]), _var: m.f32(node.In[4]),
			dy: m.f32(node.Out[0]), dgamma: m.f32(node.Out[1]), dbeta: m.f32(node.Out[2]), scratch: m.scratch,
		}
		return m.tailGrad(a, attr.Sync)
	}}, nil
}

func earlySqueeze(_ *compiler, node *graph.Node) (*op, error) {
	x, w, bias, out := node.In[0], node.In[1], node.In[2], node.Out[0]
	attr := node.Attr.(graph.EarlySqueezeAttr)
	p := (x.Shape[2]+2*attr.Pad-w.Shape[2])/attr.Stride + 1
	q := (x.Shape[3]+2*attr.Pad-w.Shape[3])/attr.Stride + 1
	s := convShape(x.Shape, w.Shape, graph.Shape{x.Shape[0], w.Shape[0], p, q}, graph.ConvAttr{Stride: attr.Stride, Pad: attr.Pad, Groups: 1})
	scratch := int64(C.senet_early_squeeze_scratch(s.n, s.h*s.w, s.c, s.r*s.s))
	return kernel(scratch, func(m *binding) func() {
		a := &C.senet_early_squeeze_args{
			n: s.n, h: s.h, w: s.w, c: s.c, k: s.k, r: s.r, s: s.s, p: s.p, q: s.q, stride: s.stride, pad: s.pad,
			x: m.f32(x), weight: m.f32(w), bias: m.f32(bias), out: m.f32(out), scratch: m.scratch,
		}
		return func() { C.senet_early_squeeze(a) }
	}), nil
}

func excitation(_ *compiler, node *graph.Node) (*op, error) {
	h, out := node.In[0], node.Out[0]
	return kernel(h.Bytes(), func(m *binding) func() {
		a := &C.senet_excitation_args{
			n: C.int(h.Shape[0]), c: C.int(out.Shape[1]), r: C.int(h.Shape[1]), h: m.f32(h), w2: m.f32(node.In[1]), b2: m.f32(node.In[2]),
			out: m.f32(out), scratch: m.scratch,
		}
		return func() { C.senet_excitation(a) }
	}), nil
}

func foldSqueeze(_ *compiler, node *graph.Node) (*op, error) {
	w, w1, attr := node.In[0], node.In[5], node.Attr.(graph.FoldSqueezeAttr)
	return kernel(w1.Bytes(), func(m *binding) func() {
		a := &C.senet_fold_squeeze_args{
			j: C.int(w1.Shape[0]), k: C.int(w.Shape[0]), per: C.int(w.Shape[1:].Elems()), groups: C.int(attr.Groups), eps: C.float(attr.Eps),
			weight: m.f32(w), gamma: m.f32(node.In[1]), beta: m.f32(node.In[2]), mean: m.f32(node.In[3]), _var: m.f32(node.In[4]),
			w1: m.f32(w1), b1: m.f32(node.In[6]), out: m.f32(node.Out[0]), bias: m.f32(node.Out[1]), scratch: m.scratch,
		}
		return func() { C.senet_fold_squeeze(a) }
	}), nil
}

// put copies vs into memory that C may keep.
func put[T any](to unsafe.Pointer, vs []T) *T {
	copy(unsafe.Slice((*T)(to), len(vs)), vs)
	return (*T)(to)
}
