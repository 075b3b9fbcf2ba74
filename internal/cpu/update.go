package cpu

// #include "kernels.h"
import "C"

import (
	"senet/internal/graph"
)

// moved is a parameter with its states, nil where the optimiser has none, and what moves it.
type moved struct{ param, momentum, variance, grad *graph.Value }

// movedBy pairs the gradients of an optimiser's node with its outputs from the first parameter on, each with as many states.
func movedBy(node *graph.Node, out []*graph.Value) []moved {
	grads := node.In[graph.UpdateGrads:]
	per := len(out) / len(grads)
	ms := make([]moved, len(grads))
	for i, g := range grads {
		ms[i] = moved{param: out[i*per], momentum: out[i*per+1], grad: g}
		if per > 2 {
			ms[i].variance = out[i*per+2]
		}
	}
	return ms
}

// alike lays followers as v lies.
func (c *compiler) alike(v *graph.Value, followers ...*graph.Value) {
	for _, f := range followers {
		if w := c.weights[v]; w != nil {
			c.weights[f] = w
		}
		if len(v.Shape) == 4 && c.plain[v] {
			c.plain[f] = true
		}
	}
}

// like lays a parameter's states as it lies, and it as its gradient where that is in logical order.
func (c *compiler) like(m moved) {
	if len(m.param.Shape) == 4 && c.plain[m.grad] {
		c.plain[m.param] = true
	}
	c.alike(m.param, m.momentum)
	if m.variance != nil {
		c.alike(m.param, m.variance)
	}
}

// parameters writes the list of all tensors to an op's own memory. A parameter, its gradient and its states share a layout.
func parameters(m *binding, ms []moved, decay []bool) *C.senet_parameter {
	list := make([]C.senet_parameter, len(ms))
	for i, v := range ms {
		list[i] = C.senet_parameter{
			param: m.f32(v.param), momentum: m.f32(v.momentum), variance: m.f32(v.variance), grad: m.f32(v.grad),
			count: C.int64_t(m.e.floats(v.param)), decay: cbool(decay[i]),
		}
	}
	return put(m.own, list)
}

func gradientFactor(m *binding, node *graph.Node, clip float32) C.senet_gradient_factor {
	return C.senet_gradient_factor{
		loss_scale: m.f32(node.In[graph.UpdateScale]), norm: m.f32(node.In[graph.UpdateNorm]), clip: C.float(clip),
	}
}

func sgd(c *compiler, node *graph.Node) (*op, error) {
	attr := node.Attr.(graph.SGDAttr)
	ms := movedBy(node, node.Out)
	for _, v := range ms {
		c.like(v)
	}
	return &op{own: int64(len(ms)) * C.sizeof_senet_parameter, bind: func(m *binding) func() error {
		a := &C.senet_sgd_args{
			tensors: C.int(len(ms)), nesterov: cbool(attr.Nesterov), momentum: C.float(attr.Momentum), weight_decay: C.float(attr.WeightDecay),
			learning_rate: m.f32(node.In[graph.UpdateRate]), factor: gradientFactor(m, node, attr.Clip), parameters: parameters(m, ms, attr.Decay),
		}
		return func() error {
			C.senet_sgd(a)
			return nil
		}
	}}, nil
}

// adam prepares AdamW or LAMB.
func adam(run func(*C.senet_adam_args)) prepare {
	return func(c *compiler, node *graph.Node) (*op, error) {
		attr := node.Attr.(graph.AdamAttr)
		ms := movedBy(node, node.Out[1:])
		var blocks int64
		for _, v := range ms {
			c.like(v)
			blocks += int64(C.senet_norm_blocks(C.int64_t(c.floats(v.param))))
		}
		return &op{scratch: blocks * 16, own: int64(len(ms)) * C.sizeof_senet_parameter, bind: func(m *binding) func() error {
			a := &C.senet_adam_args{
				tensors: C.int(len(ms)), beta1: C.double(attr.Beta1), beta2: C.double(attr.Beta2),
				eps: C.float(attr.Eps), weight_decay: C.float(attr.WeightDecay),
				learning_rate: m.f32(node.In[graph.UpdateRate]), factor: gradientFactor(m, node, attr.Clip),
				step: m.f32(node.Out[0]), parameters: parameters(m, ms, attr.Decay), scratch: m.scratch,
			}
			return func() error {
				run(a)
				return nil
			}
		}}, nil
	}
}

// followers prepares run over tensors that each follow another one, in its layout.
func followers(c *compiler, to, from []*graph.Value, run func(m *binding, list *C.senet_follower) func()) *op {
	for i, v := range from {
		c.alike(v, to[i])
	}
	return &op{own: int64(len(to)) * C.sizeof_senet_follower, bind: func(m *binding) func() error {
		list := make([]C.senet_follower, len(to))
		for i, v := range to {
			list[i] = C.senet_follower{to: m.f32(v), count: C.int64_t(m.e.floats(v))}
			if from != nil {
				list[i].from = m.f32(from[i])
			}
		}
		f := run(m, put(m.own, list))
		return func() error {
			f()
			return nil
		}
	}}
}

func gradSum(c *compiler, node *graph.Node) (*op, error) {
	return followers(c, node.Out[1:], node.In[1:], func(m *binding, list *C.senet_follower) func() {
		a := &C.senet_grad_sum_args{tensors: C.int(len(node.Out) - 1), loss_scale: m.f32(node.In[0]), steps: m.f32(node.Out[0]), followers: list}
		return func() { C.senet_grad_sum(a) }
	}), nil
}

func clearAll(c *compiler, node *graph.Node) (*op, error) {
	return followers(c, node.Out, nil, func(_ *binding, list *C.senet_follower) func() {
		a := &C.senet_clear_args{tensors: C.int(len(node.Out)), followers: list}
		return func() { C.senet_clear(a) }
	}), nil
}

func ema(c *compiler, node *graph.Node) (*op, error) {
	weight := 1 - node.Attr.(graph.EMAAttr).Decay
	return followers(c, node.Out, node.In, func(_ *binding, list *C.senet_follower) func() {
		a := &C.senet_ema_args{tensors: C.int(len(node.Out)), weight: C.float(weight), followers: list}
		return func() { C.senet_ema(a) }
	}), nil
}
