// Ranks measures training steps of a network on the CPU, alone or as one of the ranks that mpirun has started, for
// bench/dist_compare.sh. Rank 0 prints one line of words and numbers.
//
//	mpirun -n 2 ranks -model seresnet50 -batch 16 -size 224 -channels 3 -classes 1000
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"time"

	"senet/internal/backend"
	"senet/internal/bench"
	"senet/internal/cpu"
	"senet/internal/dist"
	"senet/internal/model"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "ranks:", err)
		os.Exit(1)
	}
}

func run() (err error) {
	name := flag.String("model", "seresnet20_cifar", "network")
	batch := flag.Int("batch", 128, "images of a step of all ranks")
	size := flag.Int("size", 28, "height and width of an image")
	channels := flag.Int("channels", 1, "channels of an image")
	classes := flag.Int("classes", 10, "classes")
	threads := flag.Int("threads", 1, "threads of a rank")
	steps := flag.Int("steps", 20, "steps to measure")
	flag.Parse()

	world, err := dist.FromEnv(os.Getenv)
	if err != nil {
		return err
	}
	var c *clock
	options := cpu.Options{Threads: *threads}
	if world.Size > 1 {
		mpi, err := dist.OpenMPI(context.Background(), world)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, mpi.Close()) }()
		c = &clock{Collective: mpi}
		options.Collective = c
	}
	b, err := cpu.New(options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	mean := make([]float32, *channels)
	net, err := model.Build(*name, model.Options{
		Batch: *batch / world.Size, Height: *size, Width: *size, Channels: *channels, Classes: *classes,
		Mean: mean, Std: slices.Repeat([]float32{1}, *channels), SE: model.SE{Reduction: 16},
	})
	if err != nil {
		return err
	}
	const warmup = 3
	results, err := bench.Run(context.Background(), b, []*model.Network{net}, bench.Options{
		Train: true, Steps: *steps, Warmup: warmup, Ranks: world.Size, Now: time.Now,
	})
	if err != nil {
		return err
	}
	seconds := results[0].Seconds().Median
	if c == nil {
		fmt.Printf("images/s %.2f\n", float64(*batch)/seconds)
		return nil
	}
	perStep, waited := c.summary(warmup+*steps, warmup)
	alone, err := c.alone(perStep, *steps)
	if err == nil && world.Rank == 0 {
		fmt.Printf("images/s %.2f sums %d bytes %d theory %d alone %.6f waited %.6f\n", float64(*batch)/seconds,
			len(perStep), bytes(perStep), 4*net.Graph.ParamElems(), alone, waited)
	}
	return err
}

// clock is a collective that keeps the lengths of sums, and how long it was waited for each.
type clock struct {
	backend.Collective
	lengths []int
	waits   []time.Duration
}

func (c *clock) Sum(x []float32) func() error {
	at := len(c.lengths)
	c.lengths, c.waits = append(c.lengths, len(x)), append(c.waits, 0)
	wait := c.Collective.Sum(x)
	return func() error {
		start := time.Now()
		err := wait()
		c.waits[at] = time.Since(start)
		return err
	}
}

// summary is the lengths of a step's sums, and the median of the seconds that steps after the warm-up waited for theirs.
func (c *clock) summary(steps, warmup int) (lengths []int, waited float64) {
	each := len(c.lengths) / steps
	var xs []float64
	for step := warmup; step < steps; step++ {
		sum := 0.0
		for _, w := range c.waits[step*each : (step+1)*each] {
			sum += w.Seconds()
		}
		xs = append(xs, sum)
	}
	slices.Sort(xs)
	return c.lengths[:each], xs[len(xs)/2]
}

// alone is the median of the seconds that the same sums take with nothing to hide behind.
func (c *clock) alone(lengths []int, rounds int) (float64, error) {
	var xs []float64
	buffers := make([][]float32, len(lengths))
	for i, n := range lengths {
		buffers[i] = make([]float32, n)
	}
	for range rounds {
		if err := c.Collective.Sum(make([]float32, 1))(); err != nil { // all ranks start together
			return 0, err
		}
		start := time.Now()
		for _, x := range buffers {
			if err := c.Collective.Sum(x)(); err != nil {
				return 0, err
			}
		}
		xs = append(xs, time.Since(start).Seconds())
	}
	slices.Sort(xs)
	return xs[len(xs)/2], nil
}

func bytes(lengths []int) int {
	n := 0
	for _, l := range lengths {
		n += 4 * l
	}
	return n
}
