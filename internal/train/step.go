package train

import (
	"math"
	"time"

	"gorgonia.org/tensor"

	"senet/internal/graph"
	"senet/internal/report"
)

// maxBadSteps is how many steps in a row may be skipped because their numbers were not finite.
const maxBadSteps = 10

// step trains on the batch that f has written and reports it. A step whose loss or gradient norm is not finite is
// not applied: neither parameters nor running statistics change.
func (r *run) step(f *feeder, start time.Time) error {
	lr, images := r.learningRate(), f.images*r.ranks
	if err := r.feed(lr); err != nil {
		return err
	}
	if err := r.net.Run(graph.Step); err != nil {
		return err
	}
	f.next() // before the first Read, which waits for the step
	ok, err := r.finiteStep()
	if err != nil {
		return err
	}
	score := stepScore{loss: math.NaN()}
	if ok {
		score, err = r.apply()
	} else {
		err = r.skip()
	}
	if err == nil && r.net.Program.Accumulated != nil {
		err = r.endWindow()
	}
	if err != nil {
		return err
	}
	r.where.batch += r.whole
	r.saved = ""
	r.beat()
	return r.Sink.Step(report.Step{
		Epoch: r.where.epoch + 1, Step: r.where.batch, GlobalStep: r.globalStep(), Images: images,
		Loss: score.loss, LR: lr, Top1: 100 * float64(score.top1) / float64(max(score.images, 1)),
		StepTime: r.Now().Sub(start), DataWait: f.wait(), LossScale: float64(r.factor.Data().([]float32)[0]),
		GPU: r.gpu(),
	})
}

// gpu is what the device is doing, zero where that cannot be told.
func (r *run) gpu() report.GPU {
	if r.GPU == nil {
		return report.GPU{}
	}
	return r.GPU()
}

// feed writes the step's inputs that do not come from the loader.
func (r *run) feed(lr float64) error {
	p := r.net.Program
	r.rate.Data().([]float32)[0] = float32(lr)
	r.count.Data().([]int32)[0] = int32(r.where.epoch*(r.Train.Len()/r.batch) + r.microBatch(r.where.batch))
	if r.scale != nil {
		r.factor.Data().([]float32)[0] = float32(r.scale.factor)
	}
	for _, in := range []struct {
		v *graph.Value
		t *tensor.Dense
	}{{p.LearningRate, r.rate}, {p.LossScale, r.factor}, {p.StepCount, r.count}, {p.Stop, r.stopping}} {
		if in.v == nil {
			continue
		}
		if err := r.net.Write(in.v, in.t); err != nil {
			return err
		}
	}
	return nil
}

// apply adds up the step's score and updates the parameters, which nothing waits for before the next step's numbers are read.
func (r *run) apply() (stepScore, error) {
	r.bad = 0
	if r.scale != nil {
		r.scale.grow()
	}
	score, err := r.net.score()
	if err != nil {
		return score, err
	}
	r.where.sum.count(score)
	if r.net.Program.Accumulated != nil {
		return score, r.net.Run(graph.Accumulate)
	}
	return score, r.net.Run(graph.Update)
}

// skip counts a step that is not applied as bad, unless the loss scale may have been too great for it.
func (r *run) skip() error {
	if r.scale != nil && r.scale.shrink() {
		return nil
	}
	r.bad++
	r.result.BadSteps++
	if r.bad == maxBadSteps {
		return r.diverged()
	}
	return nil
}

// finiteStep reports whether the step's loss and the norm of its gradients are finite numbers. On several ranks these are the same
// on all, and with them comes whether one was asked to stop.
func (r *run) finiteStep() (bool, error) {
	if stopped := r.net.Program.Stopped; stopped != nil {
		x, err := r.net.scalar(stopped)
		if err != nil {
			return false, err
		}
		r.heard = r.heard || x > 0
	}
	for _, v := range []*graph.Value{r.net.Program.Loss, r.net.Program.GradNorm} {
		if x, err := r.net.scalar(v); err != nil || !finite(x) {
			return false, err
		}
	}
	return true, nil
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }
