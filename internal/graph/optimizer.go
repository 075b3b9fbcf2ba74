package graph

import (
	"slices"
	"strings"
)

// update is what an optimiser moves parameters by: gradients, divided by scale (1) where it is not nil, and their norm (1) after that.
type update struct {
	scale, norm *Value
	of          map[*Value]*Value // parameter to gradient
}

// accumulate appends the sums of gradients to phase Accumulate, and to Update their means over ranks, and the norm if that is wanted.
func (p *Program) accumulate(g *Graph, o TrainingOptions) update {
	p.Accumulated = p.optimizerState("optimizer.accumulated", Shape{1})
	u := update{scale: p.Accumulated, of: map[*Value]*Value{}}
	n := &Node{Op: GradSum, Name: string(GradSum), In: []*Value{p.LossScale}, Out: []*Value{p.Accumulated}}
	mean := &Node{Op: GlobalNorm, Name: "update_norm", In: []*Value{p.Accumulated}}
	for _, v := range g.Params() {
		u.of[v] = p.optimizerState(v.Name+".grad_sum", v.Shape)
		n.In, n.Out, mean.In = append(n.In, p.Grads[v]), append(n.Out, u.of[v]), append(mean.In, u.of[v])
	}
	p.emit(Accumulate, n)
	if o.Ranks > 1 {
		p.reduceSums(n.Out[1:], o)
	}
	if o.ClipNorm > 0 {
		u.norm = p.activation(mean.Name, Shape{1})
		mean.Out = []*Value{u.norm}
		p.emit(Update, mean)
	}
	return u
}

// emitClear appends the start of the next sums.
func (p *Program) emitClear(g *Graph, u update) {
	n := &Node{Op: Clear, Name: string(Clear), Out: []*Value{p.Accumulated}}
	for _, v := range g.Params() {
		n.Out = append(n.Out, u.of[v])
	}
	p.emit(Update, n)
}

// emitEMA appends one node over all parameters and running statistics.
func (p *Program) emitEMA(g *Graph, decay float64) {
	p.EMA = map[*Value]*Value{}
	n := &Node{Op: EMA, Name: string(EMA), Attr: EMAAttr{Decay: decay}, In: slices.Concat(g.Params(), g.States())}
	for _, v := range n.In {
		p.EMA[v] = p.value(Value{Name: v.Name + ".ema", Shape: v.Shape, Role: State})
		n.Out = append(n.Out, p.EMA[v])
	}
	p.emit(Update, n)
}

// emitOptimizer appends one node over all parameters.
func (p *Program) emitOptimizer(g *Graph, o TrainingOptions, u update) {
	p.LearningRate = p.value(Value{Name: "learning_rate", Shape: Shape{1}, Role: Input})
	n := &Node{In: make([]*Value, UpdateGrads)}
	n.In[UpdateRate], n.In[UpdateScale] = p.LearningRate, u.scale
	if o.ClipNorm > 0 {
		n.In[UpdateNorm] = u.norm
	}
	states := []string{".momentum"}
	var decay []bool
	for _, v := range g.Params() {
		n.In = append(n.In, u.of[v])
		decay = append(decay, decays(v))
	}
	if a := o.Adam; a != nil {
		n.Op = AdamW
		if a.LAMB {
			n.Op = LAMB
		}
		n.Attr = AdamAttr{Beta1: a.Beta1, Beta2: a.Beta2, Eps: a.Eps, WeightDecay: a.WeightDecay, Clip: o.ClipNorm, Decay: decay}
		states = []string{".exp_avg", ".exp_avg_sq"}
		n.Out = append(n.Out, p.optimizerState("optimizer.step", Shape{1}))
	} else {
		n.Op = SGD
		n.Attr = SGDAttr{
			Momentum: o.SGD.Momentum, WeightDecay: o.SGD.WeightDecay, Clip: o.ClipNorm, Nesterov: o.SGD.Nesterov, Decay: decay,
		}
	}
	for _, v := range g.Params() {
		n.Out = append(n.Out, v)
		for _, state := range states {
			n.Out = append(n.Out, p.optimizerState(v.Name+state, v.Shape))
		}
	}
	n.Name = string(n.Op)
	p.emit(Update, n)
}

func (p *Program) optimizerState(name string, s Shape) *Value {
	v := p.value(Value{Name: name, Shape: s, Role: State})
	p.OptimizerStates = append(p.OptimizerStates, v)
	return v
}

// decays: weight decay applies to weights of convolutions and fully connected layers, not to
// batch norm's gamma and beta nor to biases (He et al. 2019, "Bag of Tricks", section 3.1).
func decays(v *Value) bool { return len(v.Shape) > 1 && !strings.HasSuffix(v.Name, ".bias") }
