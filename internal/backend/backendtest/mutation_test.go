package backendtest

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"senet/internal/backend"
	"senet/internal/graph"
	"senet/internal/ref"
)

// mutant is the oracle with one output of one op spoiled.
type mutant struct {
	backend.Backend
	op     graph.Op
	output int
	spoil  func(x []float64)
}

type mutantExecutable struct {
	*ref.Executable
	m mutant
	p *graph.Program
}

func (m mutant) Compile(p *graph.Program) (backend.Executable, error) {
	exe, err := m.Backend.Compile(p)
	if err != nil {
		return nil, err
	}
	return &mutantExecutable{exe.(*ref.Executable), m, p}, nil
}

func (e *mutantExecutable) Run(ph graph.Phase) error {
	if err := e.Executable.Run(ph); err != nil {
		return err
	}
	for _, n := range e.p.Phases[ph] {
		if n.Op == e.m.op && e.m.output < len(n.Out) && n.Out[e.m.output] != nil {
			e.m.spoil(e.Float64(n.Out[e.m.output]))
		}
	}
	return nil
}

var spoils = map[string]func(x []float64){
	"scaled": func(x []float64) {
		for i := range x {
			x[i] *= 1.01
		}
	},
	"nan": func(x []float64) { x[len(x)/2] = math.NaN() },
	"shifted by one": func(x []float64) {
		first := x[0]
		copy(x, x[1:])
		x[len(x)-1] = first
	},
	"last element missing": func(x []float64) { x[len(x)-1] = 0 },
	"one element off":      func(x []float64) { x[len(x)/3] += 0.01 * (1 + math.Abs(x[len(x)/3])) },
}

// site is one output of one op, with the cases that have it.
type site struct {
	op     graph.Op
	output int
}

func sites() map[site][]definition {
	found := map[site][]definition{}
	for _, f := range families() {
		for _, d := range f.cases {
			seen := map[site]bool{}
			for _, n := range d.make().p.Nodes() {
				for i, v := range n.Out {
					if s := (site{n.Op, i}); v != nil && !seen[s] {
						seen[s] = true
						found[s] = append(found[s], d)
					}
				}
			}
		}
	}
	return found
}

// Each op is in the suite, and a mistake in any output of it is reported.
func TestMutantsAreReported(t *testing.T) {
	all := sites()
	for _, op := range everyOp {
		if all[site{op, 0}] == nil {
			t.Errorf("%s has no case", op)
		}
	}
	for s, cases := range all {
		for kind, spoil := range spoils {
			if repeats := map[graph.Op]int{graph.SGD: 2, graph.AdamW: 4, graph.LAMB: 4}[s.op]; repeats > 0 && s.output >= repeats && kind != "nan" {
				continue // the outputs repeat for each parameter
			}
			if s.op == graph.Clear && kind != "nan" && kind != "one element off" {
				continue // these leave zeros as they are
			}
			if !reported(s, cases, spoil, kind) {
				t.Errorf("%s, output %d, %s: not reported by any of %d cases", s.op, s.output, kind, len(cases))
			}
		}
	}
}

// reported stops at the first case that finds the mistake. A shift needs two elements.
func reported(s site, cases []definition, spoil func([]float64), kind string) bool {
	single := true
	for _, d := range cases {
		c := d.make()
		for _, n := range c.p.Nodes() {
			single = single && (n.Op != s.op || s.output >= len(n.Out) || n.Out[s.output] == nil || n.Out[s.output].Shape.Elems() == 1)
		}
		if single && kind == "shifted by one" {
			continue
		}
		m := mutant{ref.New(), s.op, s.output, spoil}
		if len(c.check(m, c.p, 1e-4)) > 0 {
			return true
		}
	}
	return single && kind == "shifted by one"
}

// Finite differences find a gradient that is off by 1 %.
func TestFiniteDifferencesFindMistakes(t *testing.T) {
	for s, cases := range sites() {
		checked, found := false, false
		for _, d := range cases {
			c := d.make()
			if !c.derives(s) {
				continue
			}
			checked = true
			if len(c.checkGradients(mutant{ref.New(), s.op, s.output, spoils["scaled"]})) > 0 {
				found = true
				break
			}
		}
		if checked && !found {
			t.Errorf("%s, output %d: not found", s.op, s.output)
		}
		if isGradient := slices.Contains(gradientOps, s.op); isGradient && !checked {
			t.Errorf("%s, output %d: no case checks it by finite differences", s.op, s.output)
		}
	}
}

// derives reports whether finite differences look at that output.
func (c *testCase) derives(s site) bool {
	for _, n := range c.p.Nodes() {
		if n.Op == s.op && s.output < len(n.Out) {
			for _, d := range c.gradients {
				if d.grad == n.Out[s.output] {
					return true
				}
			}
		}
	}
	return false
}

var everyOp = slices.Concat([]graph.Op{
	graph.Normalize, graph.Conv, graph.BatchNorm, graph.ReLU, graph.Sigmoid, graph.Add, graph.GlobalAvgPool, graph.Linear,
	graph.Scale, graph.MaxPool, graph.SoftmaxCrossEntropy, graph.BinaryCrossEntropy, graph.Accuracy, graph.BNSEAddReLU, graph.FoldBN, graph.FoldSqueeze, graph.EarlySqueeze,
	graph.Excitation, graph.GlobalNorm, graph.RunningStats, graph.SGD, graph.AdamW, graph.LAMB,
	graph.GradSum, graph.Clear, graph.EMA,
}, gradientOps)

var gradientOps = []graph.Op{
	graph.ConvGradInput, graph.ConvGradWeight, graph.BatchNormGrad, graph.ReLUGrad, graph.SigmoidGrad, graph.GlobalAvgPoolGrad,
	graph.LinearGrad, graph.ScaleGrad, graph.MaxPoolGrad, graph.SoftmaxCrossEntropyGrad, graph.BinaryCrossEntropyGrad, graph.BNSEAddReLUGrad,
}

// careless is the oracle made to write outputs before it reads the inputs that lie in the same
// bytes of the arena: what in-place execution must not do. It does so for one op, or for all if op is empty.
type careless struct {
	backend.Backend
	op graph.Op
}

func (b careless) Compile(p *graph.Program) (backend.Executable, error) {
	offset := graph.PlanMemory(p, (*graph.Value).Bytes).Offset
	q := *p
	q.Values = slices.Clone(p.Values)
	for ph, nodes := range p.Phases {
		q.Phases[ph] = nil
		for _, n := range nodes {
			for _, v := range b.overwritten(n, offset) {
				zero := &graph.Value{ID: len(q.Values), Shape: v.Shape, Role: graph.State}
				q.Values = append(q.Values, zero)
				q.Phases[ph] = append(q.Phases[ph], &graph.Node{Op: graph.Add, In: []*graph.Value{zero, zero}, Out: []*graph.Value{v}})
			}
			q.Phases[ph] = append(q.Phases[ph], n)
		}
	}
	return b.Backend.Compile(&q)
}

// overwritten are the inputs of n that lie where its outputs do.
func (b careless) overwritten(n *graph.Node, offset []int64) []*graph.Value {
	var vs []*graph.Value
	if b.op != "" && b.op != n.Op {
		return nil
	}
	for _, in := range n.In {
		for _, out := range n.Out {
			if in != nil && out != nil && offset[in.ID] >= 0 && offset[in.ID] == offset[out.ID] {
				vs = append(vs, in)
			}
		}
	}
	return vs
}

// The form of a case that goes through the arena makes each op that may work in place do so.
func TestCarelessInPlaceIsReported(t *testing.T) {
	all := sites()
	for _, op := range []graph.Op{graph.ReLU, graph.ReLUGrad, graph.Sigmoid, graph.SigmoidGrad, graph.BatchNormGrad, graph.ScaleGrad, graph.BNSEAddReLUGrad} {
		b := careless{ref.New(), op}
		for _, d := range all[site{op, 0}] {
			c := d.make()
			if errs := c.check(b, c.p, 1e-4); len(errs) > 0 {
				t.Fatalf("%s, %s: nothing lies in place, yet %v", op, d.name, errs)
			}
			if c.nan || c.p.Values[0].Shape.Elems() == 1 {
				continue // no gradient; or one element, which may come out right by chance
			}
			if errs := c.check(b, c.throughArena(), 1e-4); len(errs) == 0 {
				t.Errorf("%s, %s: not reported", op, d.name)
			}
		}
	}
}

// A network's training finds it too.
func TestCarelessNetworkIsReported(t *testing.T) {
	net, err := newNetwork()
	if err != nil {
		t.Fatal(err)
	}
	for _, unfused := range []bool{false, true} {
		p, err := net.training(unfused)
		if err != nil {
			t.Fatal(err)
		}
		want, err := net.train(ref.New(), p)
		if err != nil {
			t.Fatal(err)
		}
		have, err := net.train(careless{ref.New(), ""}, p)
		if err != nil {
			t.Fatal(err)
		}
		if len(differences(have, want, 1e-4)) == 0 {
			t.Errorf("unfused=%v: not reported", unfused)
		}
	}
}

// What the comparison takes for equal.
func TestDifference(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	f, i := &graph.Value{Shape: graph.Shape{2}}, &graph.Value{Shape: graph.Shape{2}, DType: graph.Int32}
	for _, c := range []struct {
		v          *graph.Value
		have, want []float64
		b          bound
		equal      bool
	}{
		{f, []float64{1, 2}, []float64{1, 2}, bound{}, true},
		{f, []float64{1, 2.0001}, []float64{1, 2}, bound{tolerance: 1e-4}, true},
		{f, []float64{1, 2.0003}, []float64{1, 2}, bound{tolerance: 1e-4}, false},
		{f, []float64{1.0001, 2}, []float64{1, 2}, bound{tolerance: 1e-4}, true}, // relative to the tensor's 2
		{f, []float64{nan, 2}, []float64{1, 2}, bound{tolerance: 1}, false},
		{f, []float64{1, 2}, []float64{nan, 2}, bound{tolerance: 1, nan: true}, false},
		{f, []float64{nan, 2}, []float64{nan, 2}, bound{tolerance: 1}, false},
		{f, []float64{nan, 2}, []float64{nan, 2}, bound{tolerance: 1, nan: true}, true},
		{f, []float64{nan, 9}, []float64{nan, 2}, bound{tolerance: 1, nan: true}, false},
		{f, []float64{inf, 2}, []float64{1, 2}, bound{tolerance: 1}, false},
		{f, []float64{inf, 2}, []float64{inf, 2}, bound{tolerance: 1}, false},
		{f, []float64{1e-8, 0}, []float64{0, 0}, bound{tolerance: 1e-4}, true},
		{f, []float64{1e-6, 0}, []float64{0, 0}, bound{tolerance: 1e-4}, false},
		{f, []float64{1e-6, 0}, []float64{0, 0}, bound{tolerance: 1e-4, magnitude: 1}, true},
		{f, []float64{1}, []float64{1, 2}, bound{tolerance: 1}, false},
		{i, []float64{1, 2}, []float64{1, 2}, bound{tolerance: 1}, true},
		{i, []float64{1, 3}, []float64{1, 2}, bound{tolerance: 1}, false},
	} {
		err := difference(c.v, c.have, c.want, c.b)
		if (err == nil) != c.equal {
			t.Errorf("%v and %v within %+v: %v", c.have, c.want, c.b, err)
		}
	}
	err := difference(&graph.Value{Shape: graph.Shape{2, 3}}, []float64{0, 0, 0, 0, 0, 2}, []float64{0, 0, 0, 0, 0, 1}, bound{tolerance: 0.5})
	if want := "element [1 2] of (2, 3): have 2, want 1: off by 1, 200% of the tolerance 0.5"; fmt.Sprint(err) != want {
		t.Errorf("have %q, want %q", fmt.Sprint(err), want)
	}
}
