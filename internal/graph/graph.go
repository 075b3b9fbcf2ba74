// Package graph describes a network as a list of operations on shaped values and
// derives from it what a backend runs: shape inference while the network is built,
// gradients, the fusion of batch norm + SE + add + ReLU, the folding of batch norm for
// inference, the memory plan, and the counts of parameters, FLOPs and bytes. It is
// pure Go and runs nothing itself.
//
//	g := graph.New()
//	x := g.Normalize("input", g.Input("image", graph.Shape{8, 28, 28, 1}, graph.Uint8), mean, std)
//	y := g.Conv("conv1", x, g.Param("conv1.weight", graph.Shape{16, 1, 3, 3}), nil, graph.ConvAttr{Stride: 1, Pad: 1, Groups: 1})
//	if err := g.Err(); err != nil { ... }
//	p, err := graph.Training(g, loss, graph.TrainingOptions{...})
package graph

import "fmt"

// Role says who writes a value and how long it lives.
type Role uint8

// Roles. Only activations are placed in the reusable arena; all others persist.
const (
	Activation Role = iota // written by a node, read by later nodes
	Input                  // written by the host before a step
	Param                  // trained
	State                  // persistent and not trained: running statistics, momentum, folded weights
)

func (r Role) String() string {
	return [...]string{"activation", "input", "param", "state"}[r]
}

// Value is one tensor. Values are compared by identity and are never changed once built.
type Value struct {
	ID    int    // index into the tables of a Program; values of a Graph come first
	Name  string // parameters and states: the state-dict name, e.g. "layer1.0.bn1.running_mean"
	Shape Shape
	DType DType
	Role  Role
	Init  Init // how a Param or State starts
}

// Bytes is the size of the value in its logical shape.
func (v *Value) Bytes() int64 { return int64(v.Shape.Elems()) * int64(v.DType.Size()) }

// Node is one operation. The order and shapes of In and Out are given with each Op;
// entries that an op calls optional may be nil.
type Node struct {
	Op   Op
	Name string // module path, e.g. "layer1.0.conv1"; a gradient carries its forward node's name
	Attr any    // the op's attributes by value, e.g. ConvAttr; nil where it has none
	In   []*Value
	Out  []*Value
}

// Graph is a forward network in its unfused form, nodes in topological order.
// The first error of a building method sticks and is returned by Err.
type Graph struct {
	Nodes  []*Node
	Values []*Value
	err    error
	names  map[string]bool // of parameters, states and inputs: these are looked up by name
}

// New returns an empty graph.
func New() *Graph { return &Graph{names: map[string]bool{}} }

// Err is the first error met while building, naming the node.
func (g *Graph) Err() error { return g.err }

// Input declares a value that the host writes before each step.
func (g *Graph) Input(name string, s Shape, d DType) *Value {
	return g.named(&Value{Name: name, Shape: s, DType: d, Role: Input})
}

// Param declares a trained float32 tensor under its state-dict name.
func (g *Graph) Param(name string, s Shape, init Init) *Value {
	return g.named(&Value{Name: name, Shape: s, Role: Param, Init: init})
}

// State declares a persistent float32 tensor that no optimiser touches.
func (g *Graph) State(name string, s Shape, init Init) *Value {
	return g.named(&Value{Name: name, Shape: s, Role: State, Init: init})
}

func (g *Graph) named(v *Value) *Value {
	if g.names[v.Name] {
		g.fail("%s %q is declared twice", v.Role, v.Name)
	}
	for _, d := range v.Shape {
		if d <= 0 {
			g.fail("%s %q: shape %s has a dimension below 1", v.Role, v.Name, v.Shape)
			break
		}
	}
	g.names[v.Name] = true
	return g.register(v)
}

func (g *Graph) register(v *Value) *Value {
	v.ID = len(g.Values)
	g.Values = append(g.Values, v)
	return v
}

// node appends a node whose outputs are new float32 activations.
func (g *Graph) node(op Op, name string, attr any, in []*Value, out ...Shape) []*Value {
	n := &Node{Op: op, Name: name, Attr: attr, In: in}
	for _, s := range out {
		n.Out = append(n.Out, g.register(&Value{Name: name, Shape: s}))
	}
	g.Nodes = append(g.Nodes, n)
	return n.Out
}

func (g *Graph) fail(format string, args ...any) {
	if g.err == nil {
		g.err = fmt.Errorf("build graph: "+format, args...)
	}
}

// broken returns a value of shape s to go on with after an error.
func (g *Graph) broken(s Shape) *Value { return &Value{Name: "broken", Shape: s} }

// rank4 reports whether x is a feature map and records an error if it is not.
func (g *Graph) rank4(name string, x *Value) bool {
	if len(x.Shape) != 4 {
		g.fail("%s: want a feature map (N, C, H, W), have %s", name, x.Shape)
		return false
	}
	return true
}

// Params lists the trained values in the order they were declared.
func (g *Graph) Params() []*Value { return g.byRole(Param) }

// ParamElems is the number of trained elements.
func (g *Graph) ParamElems() int64 {
	var n int64
	for _, v := range g.Params() {
		n += int64(v.Shape.Elems())
	}
	return n
}

// States lists the persistent untrained values in the order they were declared.
func (g *Graph) States() []*Value { return g.byRole(State) }

func (g *Graph) byRole(r Role) []*Value {
	var vs []*Value
	for _, v := range g.Values {
		if v.Role == r {
			vs = append(vs, v)
		}
	}
	return vs
}
