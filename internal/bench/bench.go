// Package bench measures how long networks take on a backend, on random images. Several networks are measured in one
// run, a step of each in turn, so that what disturbs the machine disturbs them all, and are compared step by step.
//
//	results, err := bench.Run(ctx, b, []*model.Network{seresnet50, resnet50}, bench.Options{Train: true, Steps: 10, Warmup: 2, Now: time.Now})
//	ratio := bench.Ratio(results[0], results[1]) // e.g. 1.02: SE costs 2 %
package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"gorgonia.org/tensor"

	"senet/internal/backend"
	"senet/internal/graph"
	"senet/internal/model"
)

// ErrNoProfile is returned for a profile of a backend that has none.
var ErrNoProfile = errors.New("the backend has no profile")

// Options say what is measured.
type Options struct {
	Train         bool // whole training steps, not inference
	LossScale     bool // scale the loss's gradient, as training in float16 does
	Ranks         int  // of a job in which all measure the same; 0 or 1: this process alone
	Steps, Warmup int  // of each network; those of the warm-up are not counted
	Profile       bool // also measure every node
	Now           func() time.Time
}

// Result is what the steps of one network took.
type Result struct {
	Name   string
	Batch  int
	Times  []time.Duration // of each step, in order
	Memory graph.Memory
	Nodes  []backend.NodeTime // with Options.Profile
}

// Spread is a median with the quarter of the values below and above it.
type Spread struct{ Low, Median, High float64 }

// spread sorts xs.
func spread(xs []float64) Spread {
	slices.Sort(xs)
	at := func(share float64) float64 {
		x := share * float64(len(xs)-1)
		i := int(x)
		return xs[i] + (x-float64(i))*(xs[min(i+1, len(xs)-1)]-xs[i])
	}
	return Spread{at(0.25), at(0.5), at(0.75)}
}

// ImagesPerSecond is the speed of the steps.
func (r Result) ImagesPerSecond() Spread {
	var xs []float64
	for _, t := range r.Times {
		xs = append(xs, float64(r.Batch)/t.Seconds())
	}
	return spread(xs)
}

// Seconds is how long the steps took.
func (r Result) Seconds() Spread {
	var xs []float64
	for _, t := range r.Times {
		xs = append(xs, t.Seconds())
	}
	return spread(xs)
}

// Ratio is the time of a for one of b, step by step.
func Ratio(a, b Result) Spread {
	var xs []float64
	for i, t := range a.Times {
		xs = append(xs, t.Seconds()/b.Times[i].Seconds())
	}
	return spread(xs)
}

// Run compiles the networks on b and measures a step of each in turn.
func Run(ctx context.Context, b backend.Backend, nets []*model.Network, o Options) (results []Result, err error) {
	var cs []*contender
	defer func() {
		for _, c := range cs {
			err = errors.Join(err, c.exe.Close())
		}
	}()
	for _, net := range nets {
		c, err := open(b, net, o)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", net.Name, err)
		}
		cs = append(cs, c)
		results = append(results, Result{Name: net.Name, Batch: net.Ends.Image.Shape[0], Memory: c.exe.Memory()})
	}
	for step := range o.Warmup + o.Steps {
		for i, c := range cs {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			if step == o.Warmup && o.Profile {
				if err := c.startProfile(); err != nil {
					return nil, err
				}
			}
			start := o.Now()
			if err := c.step(); err != nil {
				return nil, fmt.Errorf("%s: %w", results[i].Name, err)
			}
			if step >= o.Warmup {
				results[i].Times = append(results[i].Times, o.Now().Sub(start))
			}
		}
	}
	for i, c := range cs {
		if p, ok := c.exe.(backend.Profiler); ok && o.Profile {
			results[i].Nodes = p.Profile()
		}
	}
	return results, nil
}

// contender is a compiled network with random weights and images.
type contender struct {
	exe    backend.Executable
	phases []graph.Phase // of a step
	loss   *graph.Value
}

func open(b backend.Backend, net *model.Network, o Options) (_ *contender, err error) {
	var p *graph.Program
	c := &contender{phases: []graph.Phase{graph.Step}}
	if o.Train {
		c.phases = append(c.phases, graph.Update)
		p, err = graph.Training(net.Graph, net.Ends, graph.TrainingOptions{
			SGD: graph.SGDOptions{Momentum: 0.9, WeightDecay: 1e-4}, LossScale: o.LossScale, Ranks: o.Ranks,
		})
	} else {
		p, err = graph.Inference(net.Graph, net.Ends, graph.InferenceOptions{})
	}
	if err != nil {
		return nil, err
	}
	c.loss = p.Loss
	if c.exe, err = b.Compile(p); err != nil {
		return nil, err
	}
	if err := errors.Join(fill(c.exe, p), c.exe.Run(graph.Prepare)); err != nil {
		return nil, errors.Join(err, c.exe.Close())
	}
	return c, nil
}

// fill writes weights, images and labels. The learning rate is small enough for random labels not to diverge, the loss
// scale for drawn weights not to overflow.
func fill(exe backend.Executable, p *graph.Program) error {
	r := rand.New(rand.NewPCG(1, 1))
	write := func(v *graph.Value, backing any) error {
		return exe.Write(v, tensor.New(tensor.WithShape(v.Shape...), tensor.WithBacking(backing)))
	}
	pixels, labels := make([]uint8, p.Image.Shape.Elems()), make([]int32, p.Labels.Shape.Elems())
	for i := range pixels {
		pixels[i] = uint8(r.IntN(256))
	}
	for i := range labels {
		labels[i] = int32(r.IntN(p.Logits.Shape[1]))
	}
	err := errors.Join(backend.Initialize(exe, p, 1), write(p.Image, pixels), write(p.Labels, labels))
	if p.LearningRate != nil {
		err = errors.Join(err, write(p.LearningRate, []float32{1e-3}))
	}
	if p.LossScale != nil {
		err = errors.Join(err, write(p.LossScale, []float32{256}))
	}
	if p.Stop != nil {
		err = errors.Join(err, write(p.Stop, []float32{0}))
	}
	if p.StepCount != nil {
		err = errors.Join(err, write(p.StepCount, []int32{0}))
	}
	return err
}

// step ends when the device is done, which Read waits for.
func (c *contender) step() error {
	for _, ph := range c.phases {
		if err := c.exe.Run(ph); err != nil {
			return err
		}
	}
	_, err := c.exe.Read(c.loss)
	return err
}

func (c *contender) startProfile() error {
	p, ok := c.exe.(backend.Profiler)
	if !ok {
		return ErrNoProfile
	}
	p.StartProfile()
	return nil
}
