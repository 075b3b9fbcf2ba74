package cpu

// #include "kernels.h"
// #include "onednn.h"
import "C"

import (
	"unsafe"

	"senet/internal/graph"
)

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
			return m.primitive(engine, p, m.scratch, m.addresses(operands)...)
		},
		free: func() { C.senet_primitive_free(p) },
	}
}

// addresses lists where operands lie.
func (m *binding) addresses(operands []*graph.Value) []unsafe.Pointer {
	at := make([]unsafe.Pointer, len(operands))
	for i, v := range operands {
		at[i] = m.at(v)
	}
	return at
}

// primitive sets the addresses of p's arguments and workspace for all runs to come.
func (m *binding) primitive(engine *C.senet_engine, p *C.senet_primitive, scratch unsafe.Pointer, args ...unsafe.Pointer) func() error {
	if err := message(C.senet_primitive_bind(p, unsafe.SliceData(args), scratch)); err != nil {
		return func() error { return err }
	}
	return func() error { return message(C.senet_primitive_run(engine, p)) }
}

// convolution is a prepared convolution or gradient with the weight layout that it likes.
type convolution struct {
	likes   *C.senet_layout
	scratch int64
	// bind is given the addresses of the operands and of scratch bytes of workspace.
	bind func(m *binding, scratch unsafe.Pointer, args []unsafe.Pointer) (run func() error)
	free func()
}

// direct is a convolution that is one oneDNN primitive.
func (c *compiler) direct(p *C.senet_primitive, likes *C.senet_layout) convolution {
	engine := c.b.engine
	return convolution{
		likes: c.own(likes), scratch: int64(C.senet_primitive_scratch(p)),
		bind: func(m *binding, scratch unsafe.Pointer, args []unsafe.Pointer) func() error {
			return m.primitive(engine, p, scratch, args...)
		},
		free: func() { C.senet_primitive_free(p) },
	}
}

// bindKernel gives a kernel the addresses of a convolution's operands and workspace.
type bindKernel func(m *binding, scratch unsafe.Pointer, args []unsafe.Pointer) (run func())

// ours is a convolution by a kernel of our own, which likes weights as (r, s, c, k).
func (c *compiler) ours(s C.senet_conv_shape, scratch C.int64_t, bind bindKernel) (convolution, error) {
	v := convolution{scratch: int64(scratch)}
	if err := message(C.senet_layout_taps(&s, &v.likes)); err != nil {
		return v, err
	}
	c.own(v.likes)
	v.bind = func(m *binding, scratch unsafe.Pointer, args []unsafe.Pointer) func() error {
		run := bind(m, scratch, args)
		return func() error {
			run()
			return nil
		}
	}
	return v, nil
}

// weightArgument is the position of the weight, or of its gradient, among the operands of every convolution.
const weightArgument = 1

// weighted is an op that runs v, whose weight argument is operands[weightArgument]. The forward convolution and its two gradients
// each like another layout; where the weight is stored otherwise, it is copied into the workspace before the run,
// or for a gradient (writes) out of it afterwards: 8 bytes a weight, once a step.
func (c *compiler) weighted(v convolution, shape C.senet_conv_shape, writes bool, operands ...*graph.Value) (*op, error) {
	free := func() {
		if v.free != nil {
			v.free()
		}
	}
	w, err := c.stored(operands[weightArgument], &shape, v.likes)
	if err != nil {
		free()
		return nil, err
	}
	if C.senet_layout_equal(w.layout, v.likes) != 0 {
		return &op{
			scratch: v.scratch,
			bind:    func(m *binding) func() error { return v.bind(m, m.scratch, m.addresses(operands)) },
			free:    free,
		}, nil
	}
	from, to := w.layout, v.likes
	if writes {
		from, to = to, from
	}
	var reorder *C.senet_primitive
	if err := message(C.senet_reorder_new(c.b.engine, from, to, &reorder)); err != nil {
		free()
		return nil, err
	}
	engine, copied := c.b.engine, roundUp(int64(C.senet_layout_bytes(v.likes)))
	return &op{
		scratch: copied + max(v.scratch, int64(C.senet_primitive_scratch(reorder))),
		bind: func(m *binding) func() error {
			args, scratch := m.addresses(operands), unsafe.Add(m.scratch, copied)
			stored := args[weightArgument]
			args[weightArgument] = m.scratch
			run := v.bind(m, scratch, args)
			if writes {
				return both(run, m.primitive(engine, reorder, scratch, m.scratch, stored))
			}
			return both(m.primitive(engine, reorder, scratch, stored, m.scratch), run)
		},
		free: func() {
			free()
			C.senet_primitive_free(reorder)
		},
	}, nil
}

// both runs first, then second.
func both(first, second func() error) func() error {
	return func() error {
		if err := first(); err != nil {
			return err
		}
		return second()
	}
}

// conv is the forward convolution, with its epilogue inside, unless oneDNN runs it for several images with a gate: it has no fast post-op
// that broadcasts (N, K), so from the gate on the epilogue is a pass over y.
func conv(c *compiler, n *graph.Node) (*op, error) {
	x, w, y := n.In[0], n.In[1], n.Out[0]
	shape := convShape(x.Shape, w.Shape, y.Shape, n.Attr.(graph.ConvAttr))
	if winogradFits(shape) {
		v, err := c.winogradConv(n, shape)
		if err != nil {
			return nil, err
		}
		return c.weighted(v, shape, false, x, w, y)
	}
	gate := n.In[3]
	pass := gate != nil && x.Shape[0] > 1
	operands := []*graph.Value{x, w, y}
	epilogue := 0
	fuse := func(v *graph.Value, part int) {
		if v != nil {
			epilogue |= part
			operands = append(operands, v)
		}
	}
	fuse(n.In[2], C.SENET_CONV_BIAS)
	if !pass {
		fuse(gate, C.SENET_CONV_GATE)
		fuse(n.In[4], C.SENET_CONV_RESIDUAL)
		if n.Attr.(graph.ConvAttr).ReLU {
			epilogue |= C.SENET_CONV_RELU
		}
	}
	var likes *C.senet_layout
	var p *C.senet_primitive
	if err := message(C.senet_conv_new(c.b.engine, &shape, C.int(epilogue), &likes, &p)); err != nil {
		return nil, err
	}
	o, err := c.weighted(c.direct(p, likes), shape, false, operands...)
	if err == nil && pass {
		o.addGate(n)
	}
	return o, err
}

// addGate appends y = relu?(gate y + residual) to a convolution.
func (o *op) addGate(n *graph.Node) {
	gate, residual, y, convolve := n.In[3], n.In[4], n.Out[0], o.bind
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

func cbool(b bool) C.int {
	if b {
		return 1
	}
	return 0
}

func convGradInput(c *compiler, n *graph.Node) (*op, error) {
	dy, w, dx := n.In[0], n.In[1], n.Out[0]
	shape := convShape(dx.Shape, w.Shape, dy.Shape, n.Attr.(graph.ConvAttr))
	if winogradFits(shape) {
		v, err := c.winogradGradInput(shape)
		if err != nil {
			return nil, err
		}
		return c.weighted(v, shape, false, dy, w, dx)
	}
	var likes *C.senet_layout
	var p *C.senet_primitive
	if err := message(C.senet_conv_grad_input_new(c.b.engine, &shape, &likes, &p)); err != nil {
		return nil, err
	}
	return c.weighted(c.direct(p, likes), shape, false, dy, w, dx)
}

// foldBN folds in plain order, in the workspace, and then copies to the layout of the convolution.
func foldBN(c *compiler, n *graph.Node) (*op, error) {
	w, gamma, beta, mean, variance, fw, fb := n.In[0], n.In[1], n.In[2], n.In[3], n.In[4], n.Out[0], n.Out[1]
	engine := c.b.engine
	return &op{scratch: fw.Bytes(), bind: func(m *binding) func() error {
		plain, packed := (*C.float)(m.scratch), m.e.weights[fw]
		a := &C.senet_fold_bn_args{
			k: C.int(w.Shape[0]), per: C.int(w.Shape[1:].Elems()), eps: C.float(n.Attr.(graph.BatchNormAttr).Eps),
			weight: m.f32(w), gamma: m.f32(gamma), beta: m.f32(beta), mean: m.f32(mean), _var: m.f32(variance),
			out: plain, bias: m.f32(fb),
		}
		if packed == nil { // read by no convolution
			m.e.plain[fw] = true
			a.out = m.f32(fw)
		}
		return func() error {
			C.senet_fold_bn(a)
			if packed == nil {
				return nil
			}
			return message(C.senet_layout_copy(engine, packed.plainLayout, plain, packed.layout, m.f32(fw)))
		}
	}}, nil
}
