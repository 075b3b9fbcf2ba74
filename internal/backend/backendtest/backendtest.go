// Package backendtest is the conformance suite that every backend passes: each op of
// internal/graph with its gradient on odd shapes, and whole small networks, compared with
// the float64 oracle internal/ref. A backend's test is
//
//	func TestConformance(t *testing.T) {
//		backendtest.RunAll(t, func(t testing.TB) backend.Backend { ... }, backendtest.Options{})
//	}
//
// The host can neither write nor read activations, so an op's case declares all operands
// with the role State, which can be both: backends must accept any role for any operand.
// Each case runs twice, the second time with its feature maps copied to activations before
// the op and back after it (by adding zeros), so that it also meets the memory plan and
// works in place. After each phase the oracle's results, rounded to float32, replace the
// backend's: errors do not add up over an op and its gradient, and no ReLU mask flips.
package backendtest

import (
	"fmt"
	"slices"
	"testing"

	"gorgonia.org/tensor"

	"senet/internal/backend"
	"senet/internal/graph"
	"senet/internal/ref"
)

// Options configures RunAll.
type Options struct {
	// Tolerance is the greatest error of an element relative to its tensor's greatest
	// magnitude; 0 means 1e-4, for backends that compute in float32.
	Tolerance float64
	// Network, for a backend that computes in fewer bits, is how far whole networks may be off, see distances. There
	// an activation near 0 falls to the other side, and single elements of a gradient with it. 0: each element within Tolerance.
	Network float64
	// Round, for a backend that keeps feature maps in fewer bits, rounds a float32 as it does: the data of every
	// case are rounded beforehand, so that only results are compared. nil leaves them.
	Round func(float32) float32
	// Ranked, for a backend whose processes can share a job, opens as many that do: each is called by a goroutine of its own. nil
	// leaves out what ranks do.
	Ranked func(t testing.TB, ranks int) []backend.Backend
	// Only leaves out all but these ops; nil leaves out none.
	Only []string
}

// RunAll runs the suite on the backend that open returns, as subtests named
// "<op>/<case>", "network/<check>" and "ranks=<n>/<op>/<case>". A backend whose executables have the
// method Float64 of ref.Executable also has its gradients checked by finite differences.
func RunAll(t *testing.T, open func(testing.TB) backend.Backend, o Options) {
	if o.Tolerance == 0 {
		o.Tolerance = 1e-4
	}
	for _, family := range families() {
		if o.Only != nil && !slices.Contains(o.Only, family.name) {
			continue
		}
		t.Run(family.name, func(t *testing.T) {
			b := open(t)
			for _, d := range family.cases {
				t.Run(d.name, func(t *testing.T) {
					c := d.make()
					c.round(o.Round)
					report(t, "", c.check(b, c.p, o.Tolerance))
					report(t, "activations: ", c.check(b, c.throughArena(), o.Tolerance))
					report(t, "finite differences: ", c.checkGradients(b))
				})
			}
		})
	}
	t.Run("network", func(t *testing.T) { networks(t, open(t), o) })
	if o.Ranked != nil {
		for _, ranks := range []int{2, 3} {
			t.Run(fmt.Sprintf("ranks=%d", ranks), func(t *testing.T) { ranked(t, o.Ranked(t, ranks), open(t), o) })
		}
	}
}

func report(t *testing.T, prefix string, errs []error) {
	t.Helper()
	for _, err := range errs {
		t.Errorf("%s%v", prefix, err)
	}
}

// family is the cases of one op, or of an op and its gradient.
type family struct {
	name  string
	cases []definition
}

// definition builds a case when it is its turn.
type definition struct {
	name  string
	build func(c *testCase)
}

func (d definition) make() *testCase {
	c := newCase(d.name)
	d.build(c)
	return c
}

func families() []family {
	return []family{
		{"normalize", normalizeCases()},
		{"conv", convCases()},
		{"conv_inference", convInferenceCases()},
		{"early_squeeze", earlySqueezeCases()},
		{"fold_bn", foldBNCases()},
		{"fold_squeeze", foldSqueezeCases()},
		{"batch_norm", batchNormCases()},
		{"bn_se_add_relu", tailCases()},
		{"relu", reluCases()},
		{"sigmoid", sigmoidCases()},
		{"hard_sigmoid", hardSigmoidCases()},
		{"tanh", tanhCases()},
		{"dropout", dropoutCases()},
		{"add", addCases()},
		{"concat", concatCases()},
		{"scale", scaleCases()},
		{"global_avg_pool", globalAvgPoolCases()},
		{"global_max_pool", globalMaxPoolCases()},
		{"avg_pool", avgPoolCases()},
		{"max_pool", maxPoolCases()},
		{"linear", linearCases()},
		{"excitation", excitationCases()},
		{"softmax_cross_entropy", softmaxCrossEntropyCases()},
		{"binary_cross_entropy", binaryCrossEntropyCases()},
		{"accuracy", accuracyCases()},
		{"global_norm", globalNormCases()},
		{"running_stats", runningStatsCases()},
		{"sgd", sgdCases()},
		{"adamw", adamCases(graph.AdamW)},
		{"lamb", adamCases(graph.LAMB)},
		{"grad_sum", gradSumCases()},
		{"clear", clearCases()},
		{"ema", emaCases()},
	}
}

// check runs program, which is c's own or its form through the arena, on b and compares
// every output of every phase with the oracle's, and that nothing else was written.
func (c *testCase) check(b backend.Backend, program *graph.Program, tolerance float64) (errs []error) {
	exe, oracle, err := c.start(b, program)
	if err != nil {
		return []error{err}
	}
	defer func() { errs = append(errs, closing(exe)...) }()
	written := map[*graph.Value]bool{}
	for ph := range c.p.Phases {
		if err := exe.Run(graph.Phase(ph)); err != nil {
			return append(errs, err)
		}
		if err := oracle.Run(graph.Phase(ph)); err != nil {
			return append(errs, err)
		}
		for _, v := range outputs(c.p.Phases[ph]) {
			written[v] = true
			if err := c.compare(v, exe, oracle, tolerance); err != nil {
				errs = append(errs, err)
			}
			if err := equalise(v, exe, oracle); err != nil {
				return append(errs, err)
			}
		}
	}
	for _, v := range c.inputs() {
		if !written[v] {
			errs = append(errs, c.unchanged(v, exe)...)
		}
	}
	return errs
}

// start compiles program on b and c's own program on the oracle, and writes c's data to both.
func (c *testCase) start(b backend.Backend, program *graph.Program) (backend.Executable, *ref.Executable, error) {
	exe, err := c.load(b, program)
	if err != nil {
		return nil, nil, err
	}
	oracle, err := c.load(ref.New(), c.p)
	if err != nil {
		return nil, nil, err
	}
	return exe, oracle.(*ref.Executable), nil
}

// load compiles program on b and writes c's data to it.
func (c *testCase) load(b backend.Backend, program *graph.Program) (backend.Executable, error) {
	exe, err := b.Compile(program)
	if err != nil {
		return nil, err
	}
	for _, v := range c.inputs() {
		if err := exe.Write(v, host(v, c.data[v])); err != nil {
			return nil, err
		}
	}
	return exe, nil
}

// closing closes exe; an error is one of the case's.
func closing(exe backend.Executable) []error {
	if err := exe.Close(); err != nil {
		return []error{fmt.Errorf("close: %w", err)}
	}
	return nil
}

func (c *testCase) compare(v *graph.Value, exe backend.Executable, oracle *ref.Executable, tolerance float64) error {
	have, err := read(exe, v)
	if err != nil {
		return err
	}
	if err := difference(v, have, oracle.Float64(v), bound{tolerance, c.magnitude[v], c.nan}); err != nil {
		return fmt.Errorf("%q: %w", v.Name, err)
	}
	return nil
}

// equalise gives both sides the oracle's value, rounded to the value's type.
func equalise(v *graph.Value, exe backend.Executable, oracle *ref.Executable) error {
	t, err := oracle.Read(v)
	if err != nil {
		return err
	}
	if err := oracle.Write(v, t); err != nil {
		return err
	}
	return exe.Write(v, t)
}

// unchanged verifies that an input still holds what was written to it.
func (c *testCase) unchanged(v *graph.Value, exe backend.Executable) []error {
	t, err := exe.Read(v)
	if err != nil {
		return []error{err}
	}
	if !sameBits(t.Data(), c.data[v]) {
		return []error{fmt.Errorf("%q: an input was overwritten", v.Name)}
	}
	return nil
}

// outputs lists what the nodes write, each value once.
func outputs(nodes []*graph.Node) []*graph.Value {
	var vs []*graph.Value
	for _, n := range nodes {
		for _, v := range n.Out {
			if v != nil && !slices.Contains(vs, v) {
				vs = append(vs, v)
			}
		}
	}
	return vs
}

// host is the tensor of v's shape over data.
func host(v *graph.Value, data any) *tensor.Dense {
	return tensor.New(tensor.WithShape(v.Shape...), tensor.WithBacking(data))
}

// exact is implemented by executables that compute in float64 and can show every value so.
type exact interface {
	Float64(v *graph.Value) []float64
}

// read copies v from exe as float64, unrounded where exe can.
func read(exe backend.Executable, v *graph.Value) ([]float64, error) {
	if e, ok := exe.(exact); ok {
		return slices.Clone(e.Float64(v)), nil
	}
	t, err := exe.Read(v)
	if err != nil {
		return nil, err
	}
	return float64s(t.Data()), nil
}
