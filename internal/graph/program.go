package graph

import (
	"fmt"
	"slices"
)

// Phase is a stretch of nodes that a backend runs in one go.
type Phase int

// Phases of a program.
const (
	Prepare    Phase = iota // inference: fold batch norm; run once after parameters were written
	Step                    // each batch: forward, loss and, when training, gradients and their norm
	Accumulate              // training on several batches an update: running statistics and sums of gradients, run only after a finite step
	Update                  // training: running statistics, unless accumulated, and optimiser, run only after finite steps
	Share                   // training on several ranks: the means of their running statistics, run before these are evaluated or saved
	PhaseCount
)

// Program is what a backend compiles and runs: nodes of each phase in order over a table
// of values indexed by Value.ID. Values of the graph it came from keep their IDs, so one
// *Value addresses the same parameter in the training and the inference program.
type Program struct {
	Phases [PhaseCount][]*Node
	Values []*Value

	Image        *Value   // input (N, H, W, C) uint8
	Labels       *Value   // input (N) int32; nil without a loss
	MixedLabels  *Value   // input (N) int32 of the images that were mixed in; nil without mixing
	Share        *Value   // input (N), of Labels in the loss's target; nil without mixing
	Logits       *Value   // (N, K)
	Loss         *Value   // (1), the mean over ranks; nil without a loss
	Correct      *Value   // (3) int32, see Accuracy; nil without a loss
	LearningRate *Value   // input (1); training only
	StepCount    *Value   // input (1) int32, the training step that dropout draws for; nil for a network without
	LossScale    *Value   // input (1), by which the loss's gradient is multiplied; nil without TrainingOptions.LossScale
	GradNorm     *Value   // (1), not scaled; training only. Of the gradients' means over ranks, but with Accumulate the mean of the ranks' norms
	Stop         *Value   // input (1), 1 where this rank was asked to stop, else 0; nil without other ranks
	Stopped      *Value   // (1), the mean of Stop: where it is above 0 all ranks stop after this step; nil without other ranks
	Kept         []*Value // other activations that the host reads, see InferenceOptions.Keep

	// Grads maps each trained parameter to its gradient, times the loss scale if there is one; nil for inference. On several ranks it is
	// the mean over them, but with TrainingOptions.Accumulate this rank's own.
	Grads map[*Value]*Value
	// OptimizerStates persist beside the parameters: of SGD "<param>.momentum", of AdamW and LAMB "optimizer.step" and each
	// parameter's "<param>.exp_avg" and "<param>.exp_avg_sq"; nil for inference.
	// With TrainingOptions.Accumulate there are Accumulated and each parameter's "<param>.grad_sum" beside.
	OptimizerStates []*Value
	// Accumulated (1) is how many batches the sums of gradients hold, whose mean the update takes; nil where each batch has its own update.
	Accumulated *Value
	// EMA maps parameters and running statistics to their moving averages, named "<name>.ema"; nil without TrainingOptions.EMADecay.
	EMA map[*Value]*Value
}

// Nodes lists the nodes of all phases in the order they run.
func (p *Program) Nodes() []*Node {
	var ns []*Node
	for _, phase := range p.Phases {
		ns = append(ns, phase...)
	}
	return ns
}

// Outputs are the activations that the host may read after a step; the memory plan keeps them to its end.
func (p *Program) Outputs() []*Value {
	var vs []*Value
	for _, v := range []*Value{p.Logits, p.Loss, p.Correct, p.GradNorm, p.Stopped} {
		if v != nil {
			vs = append(vs, v)
		}
	}
	return append(vs, p.Kept...)
}

// Inputs are the values that the host writes before each step.
func (p *Program) Inputs() []*Value {
	var vs []*Value
	for _, v := range []*Value{p.Image, p.Labels, p.MixedLabels, p.Share, p.LearningRate, p.LossScale, p.StepCount, p.Stop} {
		if v != nil {
			vs = append(vs, v)
		}
	}
	return vs
}

// Used is the set of values that a node or the host touches: a graph's value may be absent from one of its programs.
func (p *Program) Used() map[*Value]bool {
	set := map[*Value]bool{}
	for _, n := range p.Nodes() {
		for _, v := range slices.Concat(n.In, n.Out) {
			set[v] = true
		}
	}
	for _, v := range p.Inputs() {
		set[v] = true
	}
	delete(set, nil)
	return set
}

// Persistent lists the parameters and states that nodes of p touch, in order of their IDs.
func (p *Program) Persistent() []*Value {
	set := p.Used()
	var vs []*Value
	for _, v := range p.Values {
		if set[v] && (v.Role == Param || v.Role == State) {
			vs = append(vs, v)
		}
	}
	return vs
}

// Find returns the parameter, state or input of that name, or nil.
func (p *Program) Find(name string) *Value {
	for _, v := range p.Values {
		if v.Role != Activation && v.Name == name {
			return v
		}
	}
	return nil
}

// newProgram starts a program over g's values.
func newProgram(g *Graph) *Program {
	return &Program{Values: append([]*Value(nil), g.Values...)}
}

func (p *Program) value(v Value) *Value {
	v.ID = len(p.Values)
	p.Values = append(p.Values, &v)
	return &v
}

func (p *Program) activation(name string, s Shape) *Value {
	return p.value(Value{Name: name, Shape: s})
}

func (p *Program) emit(ph Phase, n *Node) { p.Phases[ph] = append(p.Phases[ph], n) }

// Ends names the values of a graph that a program starts from and ends in.
type Ends struct {
	Image, Labels, Logits *Value
	MixedLabels, Share    *Value // nil without mixing
	Loss, Correct         *Value // nil for prediction without labels
	StepCount             *Value // nil without dropout
}

func (p *Program) setEnds(e Ends) {
	p.Image, p.Labels, p.Logits, p.Loss, p.Correct = e.Image, e.Labels, e.Logits, e.Loss, e.Correct
	p.MixedLabels, p.Share = e.MixedLabels, e.Share
}

// check verifies what every later stage relies on: each node reads only values that are
// inputs, persistent or already written, each activation is written once, and those to keep are written.
func (p *Program) check() error {
	written := make([]bool, len(p.Values))
	for _, n := range p.Nodes() {
		for _, v := range n.In {
			if v != nil && v.Role == Activation && !written[v.ID] {
				return fmt.Errorf("program: %s %q reads %q before it is written", n.Op, n.Name, v.Name)
			}
		}
		for _, v := range n.Out {
			if v == nil || v.Role != Activation {
				continue
			}
			if written[v.ID] {
				return fmt.Errorf("program: %s %q writes %q a second time", n.Op, n.Name, v.Name)
			}
			written[v.ID] = true
		}
	}
	for _, v := range p.Kept {
		if v.Role != Activation || !written[v.ID] {
			return fmt.Errorf("program: keep %q: want an activation that it computes", v.Name)
		}
	}
	return nil
}
