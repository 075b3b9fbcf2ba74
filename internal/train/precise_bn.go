package train

import (
	"context"
	"errors"
	"slices"

	"gorgonia.org/tensor"

	"senet/internal/graph"
)

// runningStats are the nodes of p that update running statistics: in batch mean and variance, out the running ones, (C) each.
func runningStats(p *graph.Program) []*graph.Node {
	var nodes []*graph.Node
	for _, n := range p.Nodes() {
		if n.Op == graph.RunningStats {
			nodes = append(nodes, n)
		}
	}
	return nodes
}

// population adds up a batch norm's statistics over batches of one size, as fvcore's _PopulationVarianceEstimator (Wu and
// Johnson 2021, appendix): the variance is that of all their values together.
type population struct {
	batches      float64
	mean, square []float64 // (C), sums over batches of the means of values and of their squares
}

func (p *population) add(mean, variance []float32) {
	if p.mean == nil {
		p.mean, p.square = make([]float64, len(mean)), make([]float64, len(mean))
	}
	p.batches++
	for c, m := range mean {
		p.mean[c] += float64(m)
		p.square[c] += float64(m)*float64(m) + float64(variance[c])
	}
}

func (p *population) stats() stats {
	s := stats{make([]float32, len(p.mean)), make([]float32, len(p.mean))}
	for c := range s.mean {
		m := p.mean[c] / p.batches
		s.mean[c], s.variance[c] = float32(m), float32(max(0, p.square[c]/p.batches-m*m))
	}
	return s
}

// stats are those of one batch norm, (C) each.
type stats struct{ mean, variance []float32 }

// preciseStats replaces the running statistics of the model that is evaluated by those of its parameters on the first batches
// of the epoch. It is a function of the parameters and the epoch, so that a run that is resumed here ends as the unbroken one.
func (r *run) preciseStats(ctx context.Context) error {
	if r.Config.Train.PreciseBN == 0 {
		return nil
	}
	if len(r.net.Program.EMA) == 0 {
		return r.replaceStats(ctx)
	}
	own, err := r.net.Get(r.net.params()) // whose place their averages take meanwhile
	if err != nil {
		return err
	}
	if err := r.net.copyAverages(); err != nil {
		return err
	}
	return errors.Join(r.replaceStats(ctx), r.net.Set(r.net.params(), own))
}

func (r *run) replaceStats(ctx context.Context) error {
	nodes := runningStats(r.net.Program)
	populations := make([]population, len(nodes))
	if err := r.addBatches(ctx, nodes, populations); err != nil {
		return err
	}
	own := make([]stats, len(nodes))
	for i := range nodes {
		own[i] = populations[i].stats()
	}
	if err := r.net.writeStats(nodes, own); err != nil || r.alone() {
		return err
	}
	return r.joinStats(nodes, own)
}

// joinStats makes the statistics of each rank's images, which are as many on all, those of all images together: the variance
// is the mean of the variances and the variance of the means.
func (r *run) joinStats(nodes []*graph.Node, own []stats) error {
	if err := r.shareStats(); err != nil {
		return err
	}
	within, err := r.net.readStats(nodes)
	if err != nil {
		return err
	}
	away := make([]stats, len(nodes)) // squares, in the place of the variance
	for i := range nodes {
		away[i] = stats{within[i].mean, make([]float32, len(within[i].mean))}
		for c, mean := range within[i].mean {
			d := own[i].mean[c] - mean
			away[i].variance[c] = d * d
		}
	}
	if err := r.net.writeStats(nodes, away); err != nil {
		return err
	}
	if err := r.shareStats(); err != nil {
		return err
	}
	between, err := r.net.readStats(nodes)
	if err != nil {
		return err
	}
	for i := range nodes {
		for c, v := range between[i].variance {
			within[i].variance[c] += v
		}
	}
	return r.net.writeStats(nodes, within)
}

// shareStats gives all ranks the mean of their running statistics, of which each has its own while it trains.
func (r *run) shareStats() error {
	if r.alone() {
		return nil
	}
	return r.net.Run(graph.Share)
}

// addBatches runs the first batches of the epoch through phase Step, which changes nothing that lasts, and adds up each node's
// statistics.
func (r *run) addBatches(ctx context.Context, nodes []*graph.Node, populations []population) error {
	f := r.feeder(ctx, 0)
	defer leave(f.it)
	f.next()
	for at := 0; at < min(r.Config.Train.PreciseBN, r.epochEnd()); at += r.whole {
		if f.err != nil {
			return f.err
		}
		if err := r.feed(0); err != nil {
			return err
		}
		if err := r.net.Run(graph.Step); err != nil {
			return err
		}
		f.next()
		if err := r.net.addStats(nodes, populations); err != nil {
			return err
		}
	}
	return nil
}

// addStats adds what the step that was run computed for each of nodes.
func (c *Compiled) addStats(nodes []*graph.Node, populations []population) error {
	for i, n := range nodes {
		mean, err := c.Read(n.In[0])
		if err != nil {
			return err
		}
		variance, err := c.Read(n.In[1])
		if err != nil {
			return err
		}
		populations[i].add(mean.Float32s(), variance.Float32s())
	}
	return nil
}

// writeStats makes them the running statistics of nodes in the model that is evaluated.
func (c *Compiled) writeStats(nodes []*graph.Node, all []stats) error {
	for i, n := range nodes {
		for j, stat := range [][]float32{all[i].mean, all[i].variance} {
			if err := c.Write(c.evaluated(n.Out[j]), tensor.New(tensor.WithShape(len(stat)), tensor.WithBacking(stat))); err != nil {
				return err
			}
		}
	}
	return nil
}

// readStats are the running statistics of nodes in the model that is evaluated.
func (c *Compiled) readStats(nodes []*graph.Node) ([]stats, error) {
	all := make([]stats, len(nodes))
	for i, n := range nodes {
		for j, to := range []*[]float32{&all[i].mean, &all[i].variance} {
			t, err := c.Read(c.evaluated(n.Out[j]))
			if err != nil {
				return nil, err
			}
			*to = slices.Clone(t.Float32s())
		}
	}
	return all, nil
}
