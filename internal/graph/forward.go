package graph

import "fmt"

// Forward derives from g the forward half of a training step, unfused, with all that it computes kept for the host to read:
// batch norm takes the batch's statistics and dropout drops. It is for finding where a step's numbers went bad.
func Forward(g *Graph, e Ends) (*Program, error) {
	if g.err != nil {
		return nil, g.err
	}
	if e.Loss == nil {
		return nil, fmt.Errorf("forward program: the graph has no loss")
	}
	p := newProgram(g)
	p.setEnds(e)
	p.StepCount = e.StepCount
	p.Phases[Step] = append(p.Phases[Step], g.Nodes...)
	for _, n := range g.Nodes {
		for _, v := range n.Out {
			if v != nil && v.Role == Activation && v.DType == Float32 && v != e.Logits && v != e.Loss {
				p.Kept = append(p.Kept, v)
			}
		}
	}
	return p, p.check()
}
