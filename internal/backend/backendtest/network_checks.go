package backendtest

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"gorgonia.org/tensor"

	"senet/internal/backend"
	"senet/internal/graph"
	"senet/internal/ref"
)

// learningRates of the steps that networks are trained for.
var learningRates = []float32{0.1, 0.05, 0.02}

// networks checks whole programs: training and inference, fused and not, against each other and the oracle.
func networks(t *testing.T, b backend.Backend, o Options) {
	net, err := newNetwork()
	if err != nil {
		t.Fatal(err)
	}
	t.Run("training", func(t *testing.T) { trainingPrograms(t, net, b, o.agree) })
	t.Run("accumulation", func(t *testing.T) { accumulation(t, net, b, o.agree) })
	t.Run("inference", func(t *testing.T) { inferencePrograms(t, net, b, o.agree) })
	t.Run("repeatable", func(t *testing.T) { repeatable(t, net, b) })
	t.Run("round trip", func(t *testing.T) { roundTrip(t, net, b) })
	t.Run("refused", func(t *testing.T) { refused(t, net, b) })
}

// snapshot is a value as it was read after a step.
type snapshot struct {
	when string
	v    *graph.Value
	data []float64
}

// trainingPrograms compares logits, loss, counts, gradient norm, momenta (after the first step
// these are the gradients and their weight decay), parameters and running statistics after each step.
func trainingPrograms(t *testing.T, net *network, b backend.Backend, agree agreement) {
	threeForms(t, b, agree, func(b backend.Backend, unfused bool) ([]snapshot, error) {
		p, err := net.training(unfused)
		if err != nil {
			return nil, err
		}
		return net.train(b, p)
	})
}

// threeForms compares what run gives for the fused and the unfused program on b, and for the unfused one on the oracle.
func threeForms(t *testing.T, b backend.Backend, agree agreement, run func(b backend.Backend, unfused bool) ([]snapshot, error)) {
	t.Helper()
	var fused, unfused, oracle []snapshot
	for _, form := range []struct {
		to      *[]snapshot
		b       backend.Backend
		unfused bool
	}{{&fused, b, false}, {&unfused, b, true}, {&oracle, ref.New(), true}} {
		var err error
		if *form.to, err = run(form.b, form.unfused); err != nil {
			t.Fatal(err)
		}
	}
	report(t, "fused and oracle: ", agree(fused, oracle))
	report(t, "unfused and oracle: ", agree(unfused, oracle))
	report(t, "fused and unfused: ", agree(fused, unfused))
}

// accumulation is training with one step for the first update and two for the second, clipped, and with moving averages.
func accumulation(t *testing.T, net *network, b backend.Backend, agree agreement) {
	threeForms(t, b, agree, func(b backend.Backend, unfused bool) ([]snapshot, error) {
		p, err := graph.Training(net.g, net.ends, graph.TrainingOptions{
			Unfused: unfused, SGD: graph.SGDOptions{Momentum: 0.9, WeightDecay: 1e-3}, ClipNorm: 0.5, Accumulate: true, EMADecay: 0.75,
		})
		if err != nil {
			return nil, err
		}
		return net.train(b, p)
	})
}

// train runs as many steps as there are learning rates, each with its own update, or, with sums of gradients, one after
// the first and then every second.
func (net *network) train(b backend.Backend, p *graph.Program) (all []snapshot, err error) {
	exe, err := net.start(b, p)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, exe.Close()) }()
	for step, rate := range learningRates {
		if err := net.write(exe, step); err != nil {
			return nil, err
		}
		if err := exe.Write(p.LearningRate, host(p.LearningRate, []float32{rate})); err != nil {
			return nil, err
		}
		for _, ph := range []graph.Phase{graph.Step, graph.Accumulate, graph.Update} {
			if ph == graph.Update && p.Accumulated != nil && step%2 == 1 {
				continue
			}
			if err := exe.Run(ph); err != nil {
				return nil, err
			}
		}
		values := slices.Concat(p.Outputs(), p.OptimizerStates, net.g.Params(), net.g.States())
		for _, v := range net.g.Params() {
			if average := p.EMA[v]; average != nil {
				values = append(values, average)
			}
		}
		if all, err = shoot(all, fmt.Sprintf("step %d", step+1), exe, values); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func shoot(to []snapshot, when string, exe backend.Executable, values []*graph.Value) ([]snapshot, error) {
	for _, v := range values {
		data, err := read(exe, v)
		if err != nil {
			return nil, err
		}
		to = append(to, snapshot{when, v, data})
	}
	return to, nil
}

// differences compares two runs value by value, by position: programs of one graph have the same list of values.
func differences(have, want []snapshot, tolerance float64) []error {
	if len(have) != len(want) {
		return []error{fmt.Errorf("%d values, want %d", len(have), len(want))}
	}
	var errs []error
	for i, h := range have {
		if err := difference(h.v, h.data, want[i].data, bound{tolerance: tolerance}); err != nil {
			errs = append(errs, fmt.Errorf("%s, %q: %w", h.when, h.v.Name, err))
		}
	}
	return errs
}

// inferencePrograms evaluates two batches with the parameters and statistics of a trained network.
func inferencePrograms(t *testing.T, net *network, b backend.Backend, agree agreement) {
	trained := net.trained(t)
	threeForms(t, b, agree, func(b backend.Backend, unfused bool) ([]snapshot, error) {
		p, err := net.inference(unfused)
		if err != nil {
			return nil, err
		}
		return net.evaluate(b, p, trained)
	})
}

// trained is the network's parameters and states after training on the oracle.
func (net *network) trained(t *testing.T) map[*graph.Value]*tensor.Dense {
	t.Helper()
	p, err := net.training(false)
	if err != nil {
		t.Fatal(err)
	}
	all, err := net.train(ref.New(), p)
	if err != nil {
		t.Fatal(err)
	}
	last := map[*graph.Value]*tensor.Dense{}
	for _, s := range all {
		if s.v.DType == graph.Float32 {
			last[s.v] = host(s.v, float32s(s.data))
		}
	}
	return last
}

func float32s(from []float64) []float32 {
	to := make([]float32, len(from))
	for i, x := range from {
		to[i] = float32(x)
	}
	return to
}

func (net *network) evaluate(b backend.Backend, p *graph.Program, trained map[*graph.Value]*tensor.Dense) (_ []snapshot, err error) {
	exe, err := b.Compile(p)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, exe.Close()) }()
	for _, v := range slices.Concat(net.g.Params(), net.g.States()) {
		if err := exe.Write(v, trained[v]); err != nil {
			return nil, err
		}
	}
	if err := exe.Run(graph.Prepare); err != nil {
		return nil, err
	}
	var all []snapshot
	for step := range 2 {
		if err := net.write(exe, step+10); err != nil {
			return nil, err
		}
		if err := exe.Run(graph.Step); err != nil {
			return nil, err
		}
		if all, err = shoot(all, fmt.Sprintf("batch %d", step+1), exe, p.Outputs()); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// repeatable: the same steps from the same start give the same bits, in a new executable and
// in one that has run the step before (nothing that persists is touched before the update).
func repeatable(t *testing.T, net *network, b backend.Backend) {
	p, err := net.training(false)
	if err != nil {
		t.Fatal(err)
	}
	first, err := net.train(b, p)
	if err != nil {
		t.Fatal(err)
	}
	second, err := net.train(b, p)
	if err != nil {
		t.Fatal(err)
	}
	report(t, "two runs: ", differences(second, first, 0))

	exe, err := net.start(b, p)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { report(t, "", closing(exe)) }()
	if err := net.write(exe, 0); err != nil {
		t.Fatal(err)
	}
	var runs [2][]snapshot
	for i := range runs {
		if err := exe.Run(graph.Step); err != nil {
			t.Fatal(err)
		}
		if runs[i], err = shoot(nil, "step", exe, append(p.Outputs(), net.g.Params()...)); err != nil {
			t.Fatal(err)
		}
	}
	report(t, "the step run twice: ", differences(runs[1], runs[0], 0))
}

// roundTrip: every persistent value of both programs reads back as it was written, and starts at zero.
func roundTrip(t *testing.T, net *network, b backend.Backend) {
	training, err := net.training(false)
	if err != nil {
		t.Fatal(err)
	}
	inference, err := net.inference(false)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []*graph.Program{training, inference} {
		exe, err := b.Compile(p)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { report(t, "", closing(exe)) }()
		c := newCase("round trip")
		want := map[*graph.Value][]float32{}
		for _, v := range p.Persistent() {
			checkRead(t, exe, v, make([]float32, v.Shape.Elems()))
			want[v] = c.data[c.normal(v.Name, 0, 1, v.Shape...)].([]float32)
			if err := exe.Write(v, host(v, slices.Clone(want[v]))); err != nil {
				t.Error(err)
			}
		}
		for _, v := range p.Persistent() {
			checkRead(t, exe, v, want[v])
		}
	}
}

func checkRead(t *testing.T, exe backend.Executable, v *graph.Value, want []float32) {
	t.Helper()
	got, err := exe.Read(v)
	if err != nil {
		t.Error(err)
		return
	}
	if !graph.Shape(got.Shape()).Equal(v.Shape) || !sameBits(got.Data(), want) {
		t.Errorf("%q %s does not read back as it was written", v.Name, v.Shape)
	}
}

// refused: a write of the wrong shape or type, to an activation or to a value of another program, fails and changes nothing.
func refused(t *testing.T, net *network, b backend.Backend) {
	p, err := net.training(false)
	if err != nil {
		t.Fatal(err)
	}
	exe, err := net.start(b, p)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { report(t, "", closing(exe)) }()
	w := p.Find("conv.weight") // (8, 3, 3, 3)
	foreign := &graph.Value{ID: len(p.Values), Name: "foreign", Shape: graph.Shape{2}, Role: graph.Param}
	namesake := &graph.Value{ID: w.ID, Name: w.Name, Shape: w.Shape, Role: graph.Param} // of another program
	for _, c := range []struct {
		name string
		v    *graph.Value
		t    *tensor.Dense
	}{
		{"shape", w, tensor.New(tensor.WithShape(8, 3, 9), tensor.Of(tensor.Float32))},
		{"transposed shape", w, tensor.New(tensor.WithShape(3, 3, 3, 8), tensor.Of(tensor.Float32))},
		{"type", w, tensor.New(tensor.WithShape(8, 3, 3, 3), tensor.Of(tensor.Float64))},
		{"type of the same size", w, tensor.New(tensor.WithShape(8, 3, 3, 3), tensor.Of(tensor.Int32))},
		{"float labels", p.Labels, tensor.New(tensor.WithShape(batch), tensor.Of(tensor.Float32))},
		{"activation", p.Logits, tensor.New(tensor.WithShape(batch, classes), tensor.Of(tensor.Float32))},
		{"foreign value", foreign, tensor.New(tensor.WithShape(2), tensor.Of(tensor.Float32))},
		{"foreign value of the same ID", namesake, tensor.New(tensor.WithShape(w.Shape...), tensor.Of(tensor.Float32))},
	} {
		if err := exe.Write(c.v, c.t); err == nil {
			t.Errorf("%s: written to %q", c.name, c.v.Name)
		}
	}
	if _, err := exe.Read(foreign); err == nil {
		t.Errorf("a foreign value was read")
	}
	checkRead(t, exe, w, w.Fill(1))
}
