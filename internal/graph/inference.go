package graph

import (
	"fmt"
	"slices"
)

// InferenceOptions configures Inference.
type InferenceOptions struct {
	Unfused bool     // fold batch norm only; keep SE, add and ReLU apart: the oracle of the fused form
	Keep    []*Value // activations of the graph that the host reads beside the program's other outputs, such as an SE block's gate
}

// Inference derives the program that evaluates the forward graph g with running
// statistics: batch norm folded into its convolution once (phase Prepare), and the
// block's tail, ReLU(gate * conv + shortcut), made the convolution's epilogue, with the
// gate computed beforehand from sums over the convolution's input (early squeeze). What lies
// between those sums and the ReLU of the SE block is linear: the convolution, its batch norm and
// the block's first layer become one layer, of as many inputs as the convolution has.
func Inference(g *Graph, e Ends, o InferenceOptions) (*Program, error) {
	if g.err != nil {
		return nil, g.err
	}
	p := newProgram(g)
	p.setEnds(e)
	p.Kept = o.Keep
	nodes := withoutDropout(g.Nodes)
	if !o.Unfused {
		nodes = fuse(p, nodes)
	}
	f := &folder{p: p, m: newMatcher(nodes), bns: batchNorms(g)}
	for _, n := range nodes {
		if err := f.add(n); err != nil {
			return nil, err
		}
	}
	return p, p.check()
}

// withoutDropout drops the dropouts: their readers read what went in.
func withoutDropout(nodes []*Node) []*Node {
	source := map[*Value]*Value{}
	var out []*Node
	for _, n := range nodes {
		in := slices.Clone(n.In)
		for i, v := range in {
			if x := source[v]; x != nil {
				in[i] = x
			}
		}
		if n.Op == Dropout {
			source[n.Out[0]] = in[0]
			continue
		}
		out = append(out, &Node{Op: n.Op, Name: n.Name, Attr: n.Attr, In: in, Out: n.Out})
	}
	return out
}

// batchNorms finds the graph's batch norms by gamma: fused nodes do not carry running statistics.
func batchNorms(g *Graph) map[*Value]*Node {
	bns := map[*Value]*Node{}
	for _, n := range g.Nodes {
		if n.Op == BatchNorm {
			bns[n.In[1]] = n
		}
	}
	return bns
}

// folder lowers training-form nodes to inference.
type folder struct {
	p   *Program
	m   *matcher
	bns map[*Value]*Node
}

func (f *folder) add(n *Node) error {
	switch n.Op {
	case Conv:
		if f.m.only(n.Out[0], BatchNorm) != nil || f.m.only(n.Out[0], BNSEAddReLU) != nil {
			return nil // emitted where its batch norm stands: by then the shortcut is there
		}
	case BatchNorm:
		conv, err := f.fold(n.In[0], n.In[1])
		if err != nil {
			return err
		}
		conv.Out = []*Value{n.Out[0]}
		f.p.emit(Step, conv)
		return nil
	case BNSEAddReLU:
		return f.tail(n)
	case MaxPool, GlobalMaxPool:
		f.p.emit(Step, &Node{Op: n.Op, Name: n.Name, Attr: n.Attr, In: n.In, Out: []*Value{n.Out[0], nil}})
		return nil
	}
	f.p.emit(Step, n)
	return nil
}

// tail emits the convolution under n with n as its epilogue.
func (f *folder) tail(n *Node) error {
	conv, err := f.fold(n.In[TailY], n.In[TailGamma])
	if err != nil {
		return err
	}
	if n.In[TailW1] != nil {
		f.excite(n, conv)
		conv.In[3] = n.Out[TailGate]
	}
	conv.In[4] = n.In[TailShortcut]
	if gamma := n.In[TailShortcutGamma]; gamma != nil {
		project, err := f.fold(n.In[TailShortcut], gamma)
		if err != nil {
			return err
		}
		project.Out = []*Value{f.p.activation(project.Name, n.In[TailShortcut].Shape)}
		f.p.emit(Step, project)
		conv.In[4] = project.Out[0]
	}
	attr := conv.Attr.(ConvAttr)
	attr.ReLU = n.Attr.(BNSEAddReLUAttr).ReLU
	conv.Attr = attr
	conv.Out = []*Value{n.Out[TailOut]}
	f.p.emit(Step, conv)
	return nil
}

// excite emits what finds the gate of n from the input of its convolution.
func (f *folder) excite(n, conv *Node) {
	bn, w1, b1 := f.bns[n.In[TailGamma]], n.In[TailW1], n.In[TailB1]
	w, a := f.m.producer[n.In[TailY]].In[1], conv.Attr.(ConvAttr)
	window, hidden := conv.In[1].Shape[2:], w1.Shape[0]
	fw := f.p.value(Value{Name: w1.Name + " folded", Shape: append(Shape{hidden, conv.In[0].Shape[1]}, window...), Role: State})
	fb := f.p.value(Value{Name: w1.Name + " folded bias", Shape: Shape{hidden}, Role: State})
	f.p.emit(Prepare, &Node{
		Op: FoldSqueeze, Name: n.Name, Attr: FoldSqueezeAttr{Eps: bn.Attr.(BatchNormAttr).Eps, Groups: a.Groups},
		In: []*Value{w, bn.In[1], bn.In[2], bn.In[3], bn.In[4], w1, b1}, Out: []*Value{fw, fb},
	})
	h := f.p.activation(n.Name+" hidden", Shape{conv.In[0].Shape[0], hidden})
	f.p.emit(Step, &Node{
		Op: EarlySqueeze, Name: n.Name, Attr: EarlySqueezeAttr{a.Stride, a.Pad}, In: []*Value{conv.In[0], fw, fb}, Out: []*Value{h},
	})
	f.p.emit(Step, &Node{Op: Excitation, Name: n.Name, In: []*Value{h, n.In[TailW2], n.In[TailB2]}, Out: []*Value{n.Out[TailGate]}})
}

// fold emits the folding of the batch norm with that gamma into the convolution that wrote y,
// and returns the convolution with folded weight and bias, still without output.
func (f *folder) fold(y, gamma *Value) (*Node, error) {
	bn, conv := f.bns[gamma], f.m.producer[y]
	if conv == nil || conv.Op != Conv || conv.In[2] != nil || len(f.m.readers[y]) != 1 {
		return nil, fmt.Errorf("inference program: batch norm %q does not follow a convolution of its own without bias", bn.Name)
	}
	w := conv.In[1]
	fw := f.p.value(Value{Name: w.Name + " folded", Shape: w.Shape, Role: State})
	fb := f.p.value(Value{Name: bn.Name + " folded", Shape: Shape{w.Shape[0]}, Role: State})
	f.p.emit(Prepare, &Node{
		Op: FoldBN, Name: bn.Name, Attr: bn.Attr,
		In: []*Value{w, bn.In[1], bn.In[2], bn.In[3], bn.In[4]}, Out: []*Value{fw, fb},
	})
	return &Node{Op: Conv, Name: conv.Name, Attr: conv.Attr, In: []*Value{conv.In[0], fw, fb, nil, nil}}, nil
}
