package kernels

import "senet/internal/graph"

// elementwise plans kernel of module over the elements of n's inputs in memory order, which all have the output's type:
// kernel(out, in..., number of elements).
func (p *Planner) elementwise(module, kernel string, n *graph.Node) (Plan, error) {
	out := n.Out[0]
	t, count := p.Type(out), out.Shape.Elems()
	w := width(t, count)
	args := []Arg{at(out)}
	for _, in := range n.In {
		args = append(args, at(in))
	}
	l := p.walk(module, variant(kernel, t, w), out, w, append(args, i64(int64(count)))...)
	return p.one(l, append(n.In[:len(n.In):len(n.In)], out)...)
}

func relu(p *Planner, n *graph.Node) (Plan, error) { return p.elementwise("relu", "relu", n) }

func reluGrad(p *Planner, n *graph.Node) (Plan, error) { return p.elementwise("relu", "relu_grad", n) }

func sigmoid(p *Planner, n *graph.Node) (Plan, error) { return p.elementwise("sigmoid", "sigmoid", n) }

func sigmoidGrad(p *Planner, n *graph.Node) (Plan, error) {
	return p.elementwise("sigmoid", "sigmoid_grad", n)
}

func hardSigmoid(p *Planner, n *graph.Node) (Plan, error) {
	return p.elementwise("hard_sigmoid", "hard_sigmoid", n)
}

func hardSigmoidGrad(p *Planner, n *graph.Node) (Plan, error) {
	return p.elementwise("hard_sigmoid", "hard_sigmoid_grad", n)
}

func tanh(p *Planner, n *graph.Node) (Plan, error) { return p.elementwise("tanh", "tanh", n) }

func tanhGrad(p *Planner, n *graph.Node) (Plan, error) { return p.elementwise("tanh", "tanh_grad", n) }

func add(p *Planner, n *graph.Node) (Plan, error) { return p.elementwise("add", "add", n) }
