package train

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"senet/internal/data"
	"senet/internal/report"
)

// epoch trains from where the run stands to the end of the epoch, evaluates and saves.
func (r *run) epoch(ctx context.Context) error {
	start := r.Now()
	asked := ctx
	if !r.alone() { // this rank does not stop before the others have heard of it
		ctx = context.WithoutCancel(ctx)
	}
	if err := r.wait(ctx, r.resize); err != nil {
		if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
			return r.stop() // the epoch before was saved
		}
		return err
	}
	begun := r.Now()
	f := r.feeder(ctx, r.where.batch)
	defer leave(f.it)
	f.next()
	first := r.where.sum.images
	for stepStart := begun; !errors.Is(f.err, io.EOF); stepStart = r.Now() {
		step, err := r.where.batch+1, f.err
		if asked.Err() != nil {
			r.stopping.Data().([]float32)[0] = 1
		}
		if err == nil {
			err = r.step(f, stepStart)
		}
		if ctx.Err() != nil && (err == nil || errors.Is(err, ctx.Err())) || err == nil && r.heard && r.betweenUpdates() {
			return r.stop()
		}
		if err != nil {
			return fmt.Errorf("step %d: %w", step, err)
		}
	}
	took := r.Now().Sub(begun)
	speed := float64((r.where.sum.images-first)*r.ranks) / took.Seconds()
	return r.endEpoch(asked, speed, start)
}

// feeder feeds the network from a batch of the epoch in which the run stands.
func (r *run) feeder(ctx context.Context, batch int) *feeder {
	epoch := r.where.epoch
	return &feeder{
		it: r.loader.Epoch(ctx, epoch, batch/r.whole), net: r.net, mixer: r.mixer, share: r.share,
		epoch: epoch, batch: batch, end: r.epochEnd(),
	}
}

// endEpoch makes batch norm precise, evaluates, saves and reports, and moves to the next epoch.
func (r *run) endEpoch(ctx context.Context, speed float64, start time.Time) error {
	trained, err := r.total(r.where.sum)
	if err != nil {
		return err
	}
	if err := r.shareStats(); err != nil {
		return err
	}
	precise := ctx
	if !r.alone() {
		precise = context.WithoutCancel(ctx)
	}
	if err := r.preciseStats(precise); err != nil {
		if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
			return r.stop()
		}
		return fmt.Errorf("train.precise_bn: %w", err)
	}
	model, err := r.net.Model()
	if err != nil {
		return err
	}
	if err := r.sameTensors("the model after the epoch", model); err != nil {
		return fmt.Errorf("the ranks have drifted apart: %v", err) // not as ErrDisagree: another try may go well
	}
	if v := r.firstNotFinite(model); v != nil {
		return fmt.Errorf("%w: %s %q is not finite", ErrDiverged, v.Role, v.Name)
	}
	if err := r.eval.Load(model); err != nil {
		return err
	}
	it := r.val.Epoch(ctx, 0, 0)
	defer leave(it)
	var gates []report.Gates
	steps, err := r.eval.steps(it, func(b *data.Batch, _ [][]float32) (err error) {
		r.beat()
		if gates == nil && b.Size > 0 { // of the first batch
			gates, err = r.eval.Gates(b.Size)
		}
		return err
	})
	stopped := ctx.Err() != nil && errors.Is(err, ctx.Err())
	if err != nil && !stopped {
		return err
	}
	if stopped, err = r.anyOf(stopped); err != nil {
		return err
	}
	if stopped {
		return r.stop()
	}
	score, err := r.evaluation(steps)
	if err != nil {
		return err
	}
	if !finite(score.Loss) {
		return fmt.Errorf("%w: the loss of the evaluation is %v", ErrDiverged, score.Loss)
	}
	r.where = position{epoch: r.where.epoch + 1}
	best := r.result.BestEpoch == 0 || score.Top1 > r.result.Best.Top1
	if best {
		r.result.Best, r.result.BestEpoch, r.result.Checkpoint = score, r.where.epoch, r.bestPath()
	}
	if err := r.save(model, &score, best); err != nil {
		return err
	}
	return r.Sink.Epoch(report.Epoch{
		Epoch: r.where.epoch, GlobalStep: r.globalStep(),
		TrainLoss: trained.score().Loss, TrainTop1: trained.score().Top1, TrainTop5: trained.score().Top5,
		ValLoss: score.Loss, ValTop1: score.Top1, ValTop5: score.Top5,
		ImagesPerSecond: speed, Duration: r.Now().Sub(start), Best: best, ImageSize: r.size, Gates: gates,
	})
}
