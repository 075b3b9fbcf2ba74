package graph

import "fmt"

// SGDOptions configures stochastic gradient descent with momentum.
type SGDOptions struct {
	Momentum, WeightDecay float32
	Nesterov              bool
}

// AdamOptions configures AdamW or, with LAMB, LAMB.
type AdamOptions struct {
	LAMB             bool
	Beta1, Beta2     float64
	Eps, WeightDecay float32
}

// TrainingOptions configures Training.
type TrainingOptions struct {
	Unfused bool // keep batch norm, SE, add and ReLU apart: the oracle the fused form is tested against
	SGD     SGDOptions
	Adam    *AdamOptions // the optimiser in place of SGD, if not nil

	// ClipNorm, if above 0, is the greatest norm of all gradients together that a step is taken with; longer ones are shortened.
	ClipNorm float32

	// Accumulate sums gradients over as many runs of Step and Accumulate as the host makes before it runs Update, which
	// takes their mean. Running statistics follow each batch.
	Accumulate bool
	// EMADecay, if above 0, keeps moving averages of parameters and running statistics, of which an update keeps that share.
	EMADecay float64

	// LossScale gives the program the input of that name. All gradients are that many times greater until the update divides
	// by it, so that small ones do not vanish where maps are float16 (Micikevicius et al. 2018, section 3.2).
	LossScale bool

	// Ranks, if above 1, is how many processes train together, each on as many images of its own: an update takes the means of their gradients.
	Ranks int
	// HalfWire sends gradients between ranks as bfloat16.
	HalfWire bool
	// SyncBN normalises the images of all ranks together.
	SyncBN bool
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
	if o.SyncBN && o.Ranks > 1 {
		nodes = synchronised(nodes, o.Ranks)
	}
	if !o.Unfused {
		nodes = fuse(p, nodes)
	}
	p.Phases[Step] = append(p.Phases[Step], nodes...)
	if o.LossScale {
		p.LossScale = p.value(Value{Name: "loss_scale", Shape: Shape{1}, Role: Input})
	}
	t := newTape(p, nodes, e.Loss)
	if err := t.backward(nodes); err != nil {
		return nil, err
	}
	if err := p.collectGrads(g, t); err != nil {
		return nil, err
	}
	if o.Ranks > 1 && !o.Accumulate {
		p.reduceGrads(g, o)
	}
	p.emitGradNorm(g)
	if o.Ranks > 1 && o.Accumulate {
		p.reduceDecisions(o)
	}
	grads := update{scale: p.LossScale, norm: p.GradNorm, of: p.Grads}
	if o.Accumulate {
		p.emitRunningStats(g, nodes, Accumulate)
		grads = p.accumulate(g, o)
	} else {
		p.emitRunningStats(g, nodes, Update)
	}
	p.emitOptimizer(g, o, grads)
	if o.Accumulate {
		p.emitClear(g, grads)
	}
	if o.EMADecay > 0 {
		p.emitEMA(g, o.EMADecay)
	}
	if o.Ranks > 1 {
		p.emitShare(g, o.Ranks)
	}
	return p, p.check()
}

func (p *Program) collectGrads(g *Graph, t *tape) error {
	p.Grads = map[*Value]*Value{}
	for _, v := range g.Params() {
		dv := t.sum(v)
		if dv == nil {
			return fmt.Errorf("training program: parameter %q does not reach the loss", v.Name)
		}
		p.Grads[v] = dv
	}
	return nil
}

func (p *Program) emitGradNorm(g *Graph) {
	norm := &Node{Op: GlobalNorm, Name: "grad_norm", In: []*Value{p.LossScale}}
	for _, v := range g.Params() {
		norm.In = append(norm.In, p.Grads[v])
	}
	p.GradNorm = p.activation("grad_norm", Shape{1})
	norm.Out = []*Value{p.GradNorm}
	p.emit(Step, norm)
}

// emitRunningStats appends the running statistics of every batch norm.
func (p *Program) emitRunningStats(g *Graph, nodes []*Node, ph Phase) {
	bns := batchNorms(g)
	stats := func(n *Node, gamma, mean, variance *Value) {
		bn := bns[gamma]
		x := bn.In[0].Shape
		p.emit(ph, &Node{
			Op: RunningStats, Name: bn.Name,
			Attr: RunningStatsAttr{Momentum: bn.Attr.(BatchNormAttr).Momentum, Count: x[0] * x[2] * x[3] * n.Ranks()},
			In:   []*Value{mean, variance}, Out: []*Value{bn.In[3], bn.In[4]},
		})
	}
	for _, n := range nodes {
		switch n.Op {
		case BatchNorm:
			stats(n, n.In[1], n.Out[1], n.Out[2])
		case BNSEAddReLU:
			stats(n, n.In[TailGamma], n.Out[TailMean], n.Out[TailVar])
			if gamma := n.In[TailShortcutGamma]; gamma != nil {
				stats(n, gamma, n.Out[TailShortcutMean], n.Out[TailShortcutVar])
			}
		}
	}
}
