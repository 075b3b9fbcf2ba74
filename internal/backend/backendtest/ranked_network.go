package backendtest

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"senet/internal/backend"
	"senet/internal/graph"
)

// rankedTraining is one way to train on ranks, with as many steps of each rank an update.
type rankedTraining struct {
	name  string
	steps int
	o     graph.TrainingOptions
}

func rankedTrainings() []rankedTraining {
	sgd := graph.SGDOptions{Momentum: 0.9, WeightDecay: 1e-3}
	lamb := &graph.AdamOptions{LAMB: true, Beta1: 0.9, Beta2: 0.999, Eps: 1e-6, WeightDecay: 0.01}
	return []rankedTraining{
		{"sgd", 1, graph.TrainingOptions{SGD: sgd, ClipNorm: 0.5, EMADecay: 0.75}},
		{"sgd unfused", 1, graph.TrainingOptions{SGD: sgd, ClipNorm: 0.5, Unfused: true}},
		{"sgd accumulated", 2, graph.TrainingOptions{SGD: sgd, ClipNorm: 0.5, EMADecay: 0.75, Accumulate: true}},
		{"lamb", 1, graph.TrainingOptions{Adam: lamb}},
		{"lamb accumulated", 2, graph.TrainingOptions{Adam: lamb, ClipNorm: 0.5, Accumulate: true}},
		{"loss scale", 1, graph.TrainingOptions{SGD: sgd, ClipNorm: 0.5, LossScale: true}},
		{"half the bits", 1, graph.TrainingOptions{SGD: sgd, HalfWire: true}},
	}
}

const updates = 3

// rankedNetworks trains a network on the ranks bs of one job and compares it with the same batches in one process.
func rankedNetworks(t *testing.T, bs []backend.Backend, alone backend.Backend, o Options) {
	net, err := newNetwork()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range rankedTrainings() {
		t.Run(c.name, func(t *testing.T) {
			runs, err := c.onRanks(net, bs)
			if c.o.HalfWire && errors.Is(err, backend.ErrUnsupported) {
				t.Skip("the backend has no bfloat16 to send")
			}
			if err != nil {
				t.Fatal(err)
			}
			want, err := c.alone(net, alone, len(bs))
			if err != nil {
				t.Fatal(err)
			}
			if agree := o.agree; c.o.HalfWire {
				report(t, "", distances(runs[0], want, max(o.Network, 0.02)))
			} else {
				report(t, "", agree(runs[0], want))
			}
			for rank, run := range runs[1:] {
				report(t, fmt.Sprintf("ranks %d and 0: ", rank+1), differences(run, runs[0], 0))
			}
		})
	}
	t.Run("share", func(t *testing.T) { share(t, net, bs, o) })
	t.Run("stop", func(t *testing.T) { stops(t, net, bs) })
	t.Run("sync batch norm", func(t *testing.T) { syncNetworks(t, net, bs, o) })
}

// process is a network in training on one rank.
type process struct {
	net *network
	p   *graph.Program
	exe backend.Executable
}

// launch compiles a training on b.
func (net *network) launch(b backend.Backend, o graph.TrainingOptions) (*process, error) {
	p, err := graph.Training(net.g, net.ends, o)
	if err != nil {
		return nil, err
	}
	exe, err := net.start(b, p)
	return &process{net, p, exe}, err
}

// step runs everything of a step on batch number i but its update, and returns the loss.
func (r *process) step(i int, stop float32) (float64, error) {
	err := r.net.write(r.exe, i)
	for v, x := range map[*graph.Value]float32{r.p.LearningRate: 0.1, r.p.LossScale: 64, r.p.Stop: stop} {
		if v != nil {
			err = errors.Join(err, r.exe.Write(v, host(v, []float32{x})))
		}
	}
	if err = errors.Join(err, r.exe.Run(graph.Step), r.exe.Run(graph.Accumulate)); err != nil {
		return 0, err
	}
	loss, err := read(r.exe, r.p.Loss)
	if err != nil {
		return 0, err
	}
	return loss[0], nil
}

// shoot adds what an update moves, and the mean loss of its steps.
func (r *process) shoot(to []snapshot, update int, loss float64) ([]snapshot, error) {
	when := fmt.Sprintf("update %d", update+1)
	values := r.net.g.Params()
	for _, v := range r.net.g.Params() {
		if average := r.p.EMA[v]; average != nil {
			values = append(values, average)
		}
	}
	for _, v := range r.p.OptimizerStates {
		if v != r.p.Accumulated && !strings.HasSuffix(v.Name, ".grad_sum") {
			values = append(values, v)
		}
	}
	return shoot(append(to, snapshot{when, r.p.Loss, []float64{loss}}), when, r.exe, values)
}

// alone trains in one process, which runs the batches of all ranks one after the other before each update.
func (c rankedTraining) alone(net *network, b backend.Backend, ranks int) (all []snapshot, err error) {
	o := c.o
	o.Accumulate = true
	r, err := net.launch(b, o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(append(closing(r.exe), err)...) }()
	for update := range updates {
		batches, mean := ranks*c.steps, 0.0
		for i := range batches {
			loss, err := r.step(update*batches+i, 0)
			if err != nil {
				return nil, err
			}
			mean += loss / float64(batches)
		}
		if err := r.exe.Run(graph.Update); err != nil {
			return nil, err
		}
		if all, err = r.shoot(all, update, mean); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// onRanks trains on all ranks, each with its own of every len(bs) batches.
func (c rankedTraining) onRanks(net *network, bs []backend.Backend) ([][]snapshot, error) {
	o, runs := c.o, make([][]snapshot, len(bs))
	o.Ranks = len(bs)
	return runs, errors.Join(together(len(bs), func(rank int) (err error) {
		r, err := net.launch(bs[rank], o)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(append(closing(r.exe), err)...) }()
		for update := range updates {
			mean := 0.0
			for i := range c.steps {
				loss, err := r.step((update*c.steps+i)*len(bs)+rank, 0)
				if err != nil {
					return err
				}
				mean += loss / float64(c.steps)
			}
			if err := r.exe.Run(graph.Update); err != nil {
				return err
			}
			if runs[rank], err = r.shoot(runs[rank], update, mean); err != nil {
				return err
			}
		}
		return nil
	})...)
}

// share: after a step of its own each rank has its own running statistics and averages of them, then all have their mean.
func share(t *testing.T, net *network, bs []backend.Backend, o Options) {
	before, after := make([][]snapshot, len(bs)), make([][]snapshot, len(bs))
	report(t, "", together(len(bs), func(rank int) (err error) {
		r, err := net.launch(bs[rank], graph.TrainingOptions{Ranks: len(bs), EMADecay: 0.5})
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(append(closing(r.exe), err)...) }()
		var values []*graph.Value
		for _, v := range net.g.States() {
			values = append(values, v, r.p.EMA[v])
		}
		if _, err = r.step(rank, 0); err == nil {
			err = r.exe.Run(graph.Update)
		}
		if err != nil {
			return err
		}
		if before[rank], err = shoot(nil, "before", r.exe, values); err != nil {
			return err
		}
		if err := r.exe.Run(graph.Share); err != nil {
			return err
		}
		after[rank], err = shoot(nil, "after", r.exe, values)
		return err
	}))
	if t.Failed() {
		return
	}
	if len(differences(before[0], before[1], o.Tolerance)) == 0 {
		t.Errorf("the ranks have nothing to share")
	}
	want := slices.Clone(before[0])
	for i, s := range want {
		want[i].data = make([]float64, len(s.data))
		for _, rank := range before {
			for k, x := range rank[i].data {
				want[i].data[k] += x / float64(len(bs))
			}
		}
	}
	for rank := range bs {
		report(t, fmt.Sprintf("rank %d: ", rank), differences(after[rank], want, o.Tolerance))
	}
}

// stops: where one rank is asked to stop, all know after the same step.
func stops(t *testing.T, net *network, bs []backend.Backend) {
	for _, accumulate := range []bool{false, true} {
		report(t, fmt.Sprintf("accumulate %v: ", accumulate), together(len(bs), func(rank int) (err error) {
			r, err := net.launch(bs[rank], graph.TrainingOptions{Ranks: len(bs), Accumulate: accumulate})
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(append(closing(r.exe), err)...) }()
			for step := range 3 {
				asked := float32(0)
				if step == 1 && rank == 1 {
					asked = 1
				}
				if _, err := r.step(step*len(bs)+rank, asked); err != nil {
					return err
				}
				stopped, err := read(r.exe, r.p.Stopped)
				if err != nil {
					return err
				}
				if want := float64(step%2) / float64(len(bs)); !(math.Abs(stopped[0]-want) < 0.01) {
					err = fmt.Errorf("step %d: stopped is %v, want %v", step, stopped[0], want)
				}
				if err != nil {
					return err
				}
			}
			return nil
		}))
	}
}
