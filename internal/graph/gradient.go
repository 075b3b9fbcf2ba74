package graph

import "fmt"

// tape collects the gradients of values while the nodes are walked backwards.
// A value used by several nodes gets several addends, summed when first asked for.
type tape struct {
	p       *Program
	wanted  map[*Value]bool     // depends on a parameter, so its gradient is needed
	addends map[*Value][]*Value // of the value's gradient
}

func newTape(p *Program, nodes []*Node, loss *Value) *tape {
	t := &tape{p: p, wanted: map[*Value]bool{}, addends: map[*Value][]*Value{}}
	for _, n := range nodes {
		for _, v := range n.In {
			if v != nil && (v.Role == Param || t.wanted[v]) {
				t.wanted[v] = true
				t.wanted[n.Out[0]] = true
			}
		}
	}
	return t
}

// want returns a new value for the gradient of v, recorded as one of its addends, or nil if none is needed.
func (t *tape) want(v *Value) *Value {
	if v == nil || !t.wanted[v] {
		return nil
	}
	dv := t.p.activation("d "+v.Name, v.Shape)
	t.addends[v] = append(t.addends[v], dv)
	return dv
}

// sum is the gradient of v, or nil if v does not reach the loss.
func (t *tape) sum(v *Value) *Value {
	terms := t.addends[v]
	if len(terms) == 0 {
		return nil
	}
	total := terms[0]
	for _, term := range terms[1:] {
		s := t.p.activation("d "+v.Name, v.Shape)
		t.emit(Add, v.Name, nil, []*Value{total, term}, s)
		total = s
	}
	t.addends[v] = []*Value{total}
	return total
}

func (t *tape) emit(op Op, name string, attr any, in []*Value, out ...*Value) {
	t.p.emit(Step, &Node{Op: op, Name: name, Attr: attr, In: in, Out: out})
}

// backward appends the gradient nodes of every node that leads from a parameter to the loss.
func (t *tape) backward(nodes []*Node) error {
	for i := len(nodes) - 1; i >= 0; i-- {
		n := nodes[i]
		if !t.wanted[n.Out[0]] || n.Op == Accuracy {
			continue
		}
		if n.Op == SoftmaxCrossEntropy || n.Op == BinaryCrossEntropy {
			t.loss(n)
			continue
		}
		if len(t.addends[n.Out[0]]) == 0 {
			continue // does not reach the loss
		}
		rule, ok := gradRules[n.Op]
		if !ok {
			return fmt.Errorf("training program: %s %q has no gradient", n.Op, n.Name)
		}
		rule(t, n)
	}
	return nil
}

// loss emits the gradient of a loss, where all others start from.
func (t *tape) loss(n *Node) {
	dx := t.want(n.In[0])
	if dx == nil {
		return
	}
	op, x := BinaryCrossEntropyGrad, n.In[0]
	if n.Op == SoftmaxCrossEntropy {
		op, x = SoftmaxCrossEntropyGrad, n.Out[1]
	}
	t.emit(op, n.Name, n.Attr, []*Value{x, n.In[1], n.In[2], n.In[3], t.p.LossScale}, dx)
}

// gradRules emit the gradient nodes of an op from the gradient of its first output.
var gradRules = map[Op]func(t *tape, n *Node){
	Conv: func(t *tape, n *Node) {
		x, w, bias, dy := n.In[0], n.In[1], n.In[2], t.sum(n.Out[0])
		t.emit(ConvGradWeight, n.Name, n.Attr, []*Value{dy, x}, t.want(w), t.want(bias))
		if dx := t.want(x); dx != nil {
			t.emit(ConvGradInput, n.Name, n.Attr, []*Value{dy, w}, dx)
		}
	},
	BatchNorm: func(t *tape, n *Node) {
		x, gamma, beta := n.In[0], n.In[1], n.In[2]
		dy := t.sum(n.Out[0])
		t.emit(BatchNormGrad, n.Name, n.Attr, []*Value{dy, x, gamma, n.Out[1], n.Out[2]}, t.want(x), t.want(gamma), t.want(beta))
	},
	BNSEAddReLU: bnSEAddReLUGrad,
	ReLU:        fromOutput(ReLUGrad),
	Sigmoid:     fromOutput(SigmoidGrad),
	HardSigmoid: fromOutput(HardSigmoidGrad),
	Tanh:        fromOutput(TanhGrad),
	Dropout: func(t *tape, n *Node) {
		t.emit(DropoutGrad, n.Name, n.Attr, []*Value{t.sum(n.Out[0]), n.In[1]}, t.want(n.In[0]))
	},
	Concat: func(t *tape, n *Node) {
		dxs := make([]*Value, len(n.In))
		for i, x := range n.In {
			dxs[i] = t.want(x)
		}
		t.emit(ConcatGrad, n.Name, n.Attr, []*Value{t.sum(n.Out[0])}, dxs...)
	},
	Add: func(t *tape, n *Node) {
		dy := t.sum(n.Out[0])
		for _, v := range n.In {
			if t.wanted[v] {
				t.addends[v] = append(t.addends[v], dy)
			}
		}
	},
	GlobalAvgPool: func(t *tape, n *Node) {
		t.emit(GlobalAvgPoolGrad, n.Name, nil, []*Value{t.sum(n.Out[0])}, t.want(n.In[0]))
	},
	GlobalMaxPool: func(t *tape, n *Node) {
		t.emit(GlobalMaxPoolGrad, n.Name, nil, []*Value{t.sum(n.Out[0]), n.Out[1]}, t.want(n.In[0]))
	},
	AvgPool: func(t *tape, n *Node) {
		t.emit(AvgPoolGrad, n.Name, n.Attr, []*Value{t.sum(n.Out[0])}, t.want(n.In[0]))
	},
	Linear: func(t *tape, n *Node) {
		x, w, bias := n.In[0], n.In[1], n.In[2]
		t.emit(LinearGrad, n.Name, nil, []*Value{t.sum(n.Out[0]), x, w}, t.want(x), t.want(w), t.want(bias))
	},
	Scale: func(t *tape, n *Node) {
		t.emit(ScaleGrad, n.Name, nil, []*Value{t.sum(n.Out[0]), n.In[0], n.In[1]}, t.want(n.In[0]), t.want(n.In[1]))
	},
	MaxPool: func(t *tape, n *Node) {
		t.emit(MaxPoolGrad, n.Name, n.Attr, []*Value{t.sum(n.Out[0]), n.Out[1]}, t.want(n.In[0]))
	},
}

// fromOutput is the rule of an activation function whose gradient reads its output.
func fromOutput(op Op) func(t *tape, n *Node) {
	return func(t *tape, n *Node) {
		t.emit(op, n.Name, nil, []*Value{t.sum(n.Out[0]), n.Out[0]}, t.want(n.In[0]))
	}
}

// bnSEAddReLUGrad hands two addends of the incoming gradient to the fused node as they are: it
// sums them in the pass that masks them, which saves the two reads and one write of an add.
func bnSEAddReLUGrad(t *tape, n *Node) {
	in := make([]*Value, tailGradInputs)
	terms := t.addends[n.Out[TailOut]]
	if len(terms) == 2 && terms[0] != terms[1] {
		in[TailGradDOut], in[TailGradDOut2] = terms[0], terms[1]
	} else {
		in[TailGradDOut] = t.sum(n.Out[TailOut])
	}
	copy(in[TailGradIn:], n.In)
	copy(in[TailGradSaved+TailMean:], n.Out[TailMean:])
	shortcut := n.In[TailShortcut]
	if shortcut != nil && n.In[TailShortcutGamma] == nil {
		in[TailGradIn+TailShortcut] = nil // an identity shortcut's values are not needed, only the mask
	}
	if shortcut != nil && n.Attr.(BNSEAddReLUAttr).ReLU {
		in[TailGradOut] = n.Out[TailOut] // without a shortcut the mask is recomputed from y
	}
	out := make([]*Value, tailInputs)
	for i, v := range n.In {
		out[i] = t.want(v)
	}
	t.emit(BNSEAddReLUGrad, n.Name, n.Attr, in, out...)
}
