package train

import (
	"math"

	"senet/internal/config"
	"senet/internal/graph"
)

// window is how many batches make an update in an epoch, counted from 0; the last update of an epoch may have fewer.
func window(c config.Train, epoch int) int {
	w := c.BatchWarmup
	if epoch >= w.Epochs {
		return c.Accumulate
	}
	return w.From + int(math.Round(float64((c.Accumulate-w.From)*epoch)/float64(w.Epochs)))
}

// batches is how many batches of train.batch_size an epoch has.
func (r *run) batches() int { return r.Train.Len() / r.Config.Train.BatchSize }

// epochEnd is the position at which the running epoch's training ends. Several ranks leave out what fills no update.
func (r *run) epochEnd() int {
	if r.alone() {
		return r.batches()
	}
	k := window(r.Config.Train, r.where.epoch)
	return r.batches() / k * k
}

// betweenUpdates reports whether the run stands at the end of an update.
func (r *run) betweenUpdates() bool {
	return r.where.batch%window(r.Config.Train, r.where.epoch) == 0 || r.where.batch == r.epochEnd()
}

// updates is how many updates an epoch has after the warm-up of the batch: what the schedule counts.
func (r *run) updates() int {
	k := r.Config.Train.Accumulate
	return (r.batches() + k - 1) / k
}

// learningRate is that of the update which the next step belongs to. The schedule follows the images, so that smaller updates
// do not delay it; the rate of one is smaller in proportion to its batches (Goyal et al. 2017, section 2.1).
func (r *run) learningRate() float64 {
	c := r.Config.Train
	k := window(c, r.where.epoch)
	first := r.where.batch - r.where.batch%k // of the update
	rate := r.schedule.At(r.where.epoch*r.updates() + first/c.Accumulate)
	return rate * float64(k) / float64(c.Accumulate)
}

// endWindow updates the parameters after the last step of an update, unless all its steps were skipped.
func (r *run) endWindow() error {
	done := r.where.batch + r.whole
	if done%window(r.Config.Train, r.where.epoch) != 0 && done != r.epochEnd() {
		return nil
	}
	if n, err := r.net.scalar(r.net.Program.Accumulated); err != nil || n == 0 {
		return err
	}
	return r.net.Run(graph.Update)
}
