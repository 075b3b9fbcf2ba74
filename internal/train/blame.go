package train

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"senet/internal/graph"
)

const allWereFinite = "computed again, every single number was finite"

// blame says what went bad first in the step at which the run stands: a parameter, else a layer, else a gradient. It computes
// the step again, with the same batch, in the memory of the run's networks, which are lost: the run is over.
func (r *run) blame() (string, error) {
	model, err := r.net.Get(r.net.ModelValues())
	if err != nil {
		return "", err
	}
	if v := r.firstNotFinite(model); v != nil {
		return fmt.Sprintf("%s %q is not finite itself", v.Role, v.Name), nil
	}
	if err := r.close(); err != nil {
		return "", err
	}
	if text, err := r.badLayer(model); text != "" || err != nil {
		return text, err
	}
	if text, err := r.badGradient(model); text != "" || err != nil {
		return text, err
	}
	return allWereFinite, nil
}

// firstNotFinite is the first value of the network whose tensor in model holds a number that is not finite, nil if there
// is none.
func (r *run) firstNotFinite(model Tensors) *graph.Value {
	for _, v := range r.net.ModelValues() {
		if !allFinite(model[v.Name].Float32s()) {
			return v
		}
	}
	return nil
}

// badLayer is the first node of the forward pass with an output that is not finite, "" if there is none.
func (r *run) badLayer(model Tensors) (string, error) {
	net, err := r.network(r.batch)
	if err != nil {
		return "", err
	}
	p, err := graph.Forward(net.Graph, net.Ends)
	if err != nil {
		return "", err
	}
	if err := r.again(p, model); err != nil {
		return "", err
	}
	for _, n := range p.Phases[graph.Step] {
		if bad, err := r.notFinite(n, p.Outputs()); err != nil {
			return "", err
		} else if bad != nil {
			return fmt.Sprintf("the first to go bad is the output of %s %q", n.Op, n.Name), nil
		}
	}
	return "", nil
}

// badGradient is the first gradient of a parameter on the way back that is not finite, "" if there is none.
func (r *run) badGradient(model Tensors) (string, error) {
	net, err := r.network(r.batch)
	if err != nil {
		return "", err
	}
	p, err := r.program(net, share{ranks: 1, accumulate: r.accumulate}) // which needs no other rank
	if err != nil {
		return "", err
	}
	p.Kept = slices.AppendSeq(p.Kept, maps.Values(p.Grads))
	if err := r.again(p, model); err != nil {
		return "", err
	}
	for _, n := range p.Phases[graph.Step] {
		if bad, err := r.notFinite(n, p.Kept); err != nil {
			return "", err
		} else if bad != nil {
			return fmt.Sprintf("the forward pass is finite; the first to go bad on the way back is the gradient of %q", paramOf(p, bad)), nil
		}
	}
	return "", nil
}

// paramOf names the parameter that has the gradient grad.
func paramOf(p *graph.Program, grad *graph.Value) string {
	for param, g := range p.Grads {
		if g == grad {
			return param.Name
		}
	}
	return ""
}

// again runs p's step in place of the run's network.
func (r *run) again(p *graph.Program, model Tensors) error {
	err := r.close()
	if err != nil {
		return err
	}
	if r.net, err = Open(r.Backend, p); err != nil {
		return err
	}
	if err := r.net.Set(r.net.ModelValues(), model); err != nil {
		return err
	}
	f := r.feeder(context.Background(), r.where.batch)
	defer leave(f.it)
	if f.next(); f.err != nil {
		return f.err
	}
	if err := r.feed(r.learningRate()); err != nil {
		return err
	}
	return r.net.Run(graph.Step)
}

// notFinite is the first output of n among readable that holds a number that is not finite, nil if there is none.
func (r *run) notFinite(n *graph.Node, readable []*graph.Value) (*graph.Value, error) {
	for _, v := range n.Out {
		if v == nil || v.DType != graph.Float32 || !slices.Contains(readable, v) {
			continue
		}
		t, err := r.net.Read(v)
		if err != nil {
			return nil, fmt.Errorf("read %q: %w", v.Name, err)
		}
		if !allFinite(t.Float32s()) {
			return v, nil
		}
	}
	return nil, nil
}

func allFinite(xs []float32) bool {
	return !slices.ContainsFunc(xs, func(x float32) bool { return !finite(float64(x)) })
}

// diverged is the error of a run of bad steps in a row; it names the layer to look at.
func (r *run) diverged() error {
	const text = "%w: loss or gradients were not finite in %d steps in a row; "
	why, err := r.blame()
	if err != nil {
		return fmt.Errorf(text+"looking for the layer failed: %w", ErrDiverged, r.bad, err)
	}
	if !r.alone() {
		all, err := r.group.Gather([]byte(why))
		if err != nil {
			return err
		}
		rank := max(0, slices.IndexFunc(all, func(m []byte) bool { return string(m) != allWereFinite }))
		why = fmt.Sprintf("on rank %d %s", rank, all[rank])
	}
	return fmt.Errorf(text+"%s", ErrDiverged, r.bad, why)
}
