package cuda

import (
	"errors"
	"fmt"

	"senet/internal/graph"
	"senet/internal/kernels"
)

// convolution is how cuDNN runs n: the plan, and the operands in the order of convKind.
type convolution struct {
	plan                          *convPlan
	pattern                       convPattern
	x, w, y, bias, gate, residual *graph.Value
	run                           *convRun
}

// convolutionOf is n for cuDNN to run; nil if n is no convolution, or the gradient of a weight and a bias in one, which only
// our own kernels run.
func convolutionOf(n *graph.Node, precision kernels.Precision) *convolution {
	c := &convolution{}
	var x, y *graph.Value // maps of the forward convolution, whichever way it is run
	p := &c.pattern
	switch n.Op {
	case graph.Conv:
		p.kind = convForward
		x, y, c.x, c.w, c.y, c.bias, c.gate, c.residual = n.In[0], n.Out[0], n.In[0], n.In[1], n.Out[0], n.In[2], n.In[3], n.In[4]
		p.bias, p.gate, p.residual, p.relu = c.bias != nil, c.gate != nil, c.residual != nil, n.Attr.(graph.ConvAttr).ReLU
	case graph.ConvGradInput:
		p.kind = convGradInput
		x, y, c.x, c.w, c.y = n.Out[0], n.In[0], n.In[0], n.In[1], n.Out[0]
	case graph.ConvGradWeight:
		if n.Out[1] != nil {
			return nil
		}
		p.kind = convGradWeight
		x, y, c.x, c.w, c.y = n.In[1], n.In[0], n.In[0], n.In[1], n.Out[0]
	default:
		return nil
	}
	weight, attr := c.w, n.Attr.(graph.ConvAttr)
	if p.kind == convGradWeight {
		weight = c.y
	}
	t := precision.Map()
	p.n, p.c, p.h, p.w = x.Shape[0], x.Shape[1], x.Shape[2], x.Shape[3]
	p.k, p.r, p.s, p.p, p.q = weight.Shape[0], weight.Shape[2], weight.Shape[3], y.Shape[2], y.Shape[3]
	p.stride, p.pad, p.groups = attr.Stride, attr.Pad, attr.Groups
	p.input, p.weight, p.output, p.biasType, p.tf32 = t, t, t, t, precision == kernels.TF32
	if p.gate {
		p.biasType = kernels.F32
	}
	return c
}

// planned is how cuDNN runs n; nil where our own kernels do, because cuDNN is not there, cannot, or was slower. Equal
// convolutions share a plan.
func (b *Backend) planned(n *graph.Node) (*convolution, error) {
	if b.library == nil {
		return nil, nil
	}
	c := convolutionOf(n, b.precision)
	if c == nil {
		return nil, nil
	}
	key := c.pattern.String()
	plan, known := b.plans[key]
	if !known {
		var err error
		if plan, err = b.choose(n); err != nil && !errors.Is(err, errNoEngine) {
			return nil, fmt.Errorf("%s %q: %w", n.Op, n.Name, err)
		}
		b.plans[key] = plan
	}
	if plan == nil {
		return nil, nil
	}
	c.plan = plan
	return c, nil
}

// operand is where v lies in the type of maps, 0 for nil.
func (e *executable) operand(v *graph.Value) uint64 {
	if v == nil {
		return 0
	}
	if at, ok := e.copies[v]; ok {
		return uint64(at)
	}
	return uint64(e.address[v.ID])
}

// nodePlan is what the node needs beside cuDNN's run: its workspace, and where cuDNN leaves a weight's gradient in the type
// of maps, room for that before it and the launch that widens it.
func (c *convolution) nodePlan() kernels.Plan {
	plan := kernels.Plan{Scratch: c.narrow() + c.plan.workspace()}
	if c.narrow() > 0 {
		plan.Launches = []kernels.Launch{kernels.Widen(c.y, c.pattern.output, 0)}
	}
	return plan
}

// narrow is the bytes of the workspace that hold the weight's gradient in the type of maps.
func (c *convolution) narrow() int64 {
	if c.pattern.kind != convGradWeight || c.pattern.output == kernels.F32 {
		return 0
	}
	return roundUp(int64(c.y.Shape.Elems() * c.pattern.output.Size()))
}

// bind sets the addresses of its operands.
func (c *convolution) bind(e *executable, scratch address) (err error) {
	at := c.operands(e, scratch+address(c.narrow()))
	if c.narrow() > 0 {
		at.y = uint64(scratch)
	}
	c.run, err = c.plan.bind(at)
	return err
}

// operands are where those of e's node lie.
func (c *convolution) operands(e *executable, workspace address) convOperands {
	return convOperands{
		x: e.operand(c.x), w: e.operand(c.w), y: e.operand(c.y),
		bias: e.operand(c.bias), gate: e.operand(c.gate), residual: e.operand(c.residual), workspace: uint64(workspace),
	}
}
