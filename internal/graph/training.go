package graph

import (
	"fmt"
	"strings"
)

// SGDOptions configures the optimiser of a training program.
type SGDOptions struct {
	Momentum, WeightDecay float32
	Nesterov              bool
}

// TrainingOptions configures Training.
type TrainingOptions struct {
	Unfused bool // keep batch norm, SE, add and ReLU apart: the oracle the fused form is tested against
	SGD     SGDOptions
}

// Training derives the program of a training step from the forward graph g: fusion,
// gradients of every parameter, their norm, and the update.
func Training(g *Graph, e Ends, o TrainingOptions) (*Program, error) {
	if g.err != nil {
		return nil, g.err
	}
	if e.Loss == nil {
		return nil, fmt.Errorf("training program: the graph has no loss")
	}
	p := newProgram(g)
	p.setEnds(e)
	p.StepCount = e.StepCount
	nodes := g.Nodes
	if !o.Unfused {
		nodes = fuse(p, nodes)
	}
	p.Phases[Step] = append(p.Phases[Step], nodes...)
	t := newTape(p, nodes, e.Loss)
	if err := t.backward(nodes); err != nil {
		return nil, err
	}
	if err := p.collectGrads(g, t); err != nil {
		return nil, err
	}
	p.emitUpdate(g, nodes, o.SGD)
	return p, p.check()
}

func (p *Program) collectGrads(g *Graph, t *tape) error {
	p.Grads = map[*Value]*Value{}
	norm := &Node{Op: GlobalNorm, Name: "grad_norm"}
	for _, v := range g.Params() {
		dv := t.sum(v)
		if dv == nil {
			return fmt.Errorf("training program: parameter %q does not reach the loss", v.Name)
		}
		p.Grads[v] = dv
		norm.In = append(norm.In, dv)
	}
	p.GradNorm = p.activation("grad_norm", Shape{1})
	norm.Out = []*Value{p.GradNorm}
	p.emit(Step, norm)
	return nil
}

// emitUpdate appends the running statistics of every batch norm and one optimiser node over all parameters.
func (p *Program) emitUpdate(g *Graph, nodes []*Node, o SGDOptions) {
	bns := batchNorms(g)
	stats := func(gamma, mean, variance *Value) {
		bn := bns[gamma]
		x := bn.In[0].Shape
		p.emit(Update, &Node{
			Op: RunningStats, Name: bn.Name,
			Attr: RunningStatsAttr{Momentum: bn.Attr.(BatchNormAttr).Momentum, Count: x[0] * x[2] * x[3]},
			In:   []*Value{mean, variance}, Out: []*Value{bn.In[3], bn.In[4]},
		})
	}
	for _, n := range nodes {
		switch n.Op {
		case BatchNorm:
			stats(n.In[1], n.Out[1], n.Out[2])
		case BNSEAddReLU:
			stats(n.In[TailGamma], n.Out[TailMean], n.Out[TailVar])
			if gamma := n.In[TailShortcutGamma]; gamma != nil {
				stats(gamma, n.Out[TailShortcutMean], n.Out[TailShortcutVar])
			}
		}
	}
	p.LearningRate = p.value(Value{Name: "learning_rate", Shape: Shape{1}, Role: Input})
	attr := SGDAttr{Momentum: o.Momentum, WeightDecay: o.WeightDecay, Nesterov: o.Nesterov}
	sgd := &Node{Op: SGD, Name: "sgd", In: []*Value{p.LearningRate}}
	for _, v := range g.Params() {
		m := p.value(Value{Name: v.Name + ".momentum", Shape: v.Shape, Role: State})
		p.Momenta = append(p.Momenta, m)
		sgd.In = append(sgd.In, p.Grads[v])
		sgd.Out = append(sgd.Out, v, m)
		attr.Decay = append(attr.Decay, decays(v))
	}
	sgd.Attr = attr
	p.emit(Update, sgd)
}

// decays: weight decay applies to weights of convolutions and fully connected layers, not to
// batch norm's gamma and beta nor to biases (He et al. 2019, "Bag of Tricks", section 3.1).
func decays(v *Value) bool { return len(v.Shape) > 1 && !strings.HasSuffix(v.Name, ".bias") }
