// Package train runs the training loop: it feeds batches to a compiled network, checks each
// step's numbers before they are applied, evaluates after every epoch and saves checkpoints.
//
//	result, err := train.Run(ctx, train.Setup{Config: cfg, Backend: b, Train: src, Val: val, Sink: sink, ...})
package train

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"golang.org/x/sys/unix"
	"gorgonia.org/tensor"

	"senet/internal/backend"
	"senet/internal/checkpoint"
	"senet/internal/config"
	"senet/internal/data"
	"senet/internal/dist"
	"senet/internal/graph"
	"senet/internal/report"
)

// Errors that callers tell apart with errors.Is.
var (
	// ErrDiverged: the loss or the gradients were not finite maxBadSteps times in a row.
	ErrDiverged = errors.New("training diverged")
	// ErrStopped: the context was cancelled; the state was saved before returning.
	ErrStopped = errors.New("stopped on request")
	// ErrChanged: the config is another one than that of the run to resume.
	ErrChanged = errors.New("another run")
	// ErrTaken: the run's folder already holds a run that was not asked to be gone on with.
	ErrTaken = errors.New("folder in use")
)

// ResumeAuto, as Setup.Resume, asks for the newest valid checkpoint of the run's folder, if there is one.
const ResumeAuto = "auto"

// maxBadSteps is how many steps in a row may be skipped because their numbers were not finite.
const maxBadSteps = 10

// Setup is everything a run needs.
type Setup struct {
	Config     config.Config
	Backend    backend.Backend
	Train, Val data.Source
	Sink       report.Sink
	Libraries  map[string]string // versions recorded in checkpoints
	Resume     string            // checkpoint to go on from, ResumeAuto, or "" to start anew
	// ForceConfig resumes a run although keys of the config have changed that its result depends on.
	ForceConfig bool
	Now         func() time.Time
	GPU         func() report.GPU                // looks at the device; nil where it is no GPU
	Notef       func(format string, args ...any) // tells the user what is worth a line

	Group dist.Group        // with which the run is shared; nil for a process alone
	Facts map[string]string // beside the config, what must be the same on all ranks
	Beat  func(steps int)   // told of each end of a step or of a batch of an evaluation, with the steps done; may be nil
}

// Result is the outcome of a run.
type Result struct {
	Best       Score
	BestEpoch  int
	Checkpoint string // the best one; "" before the first evaluation
	BadSteps   int    // skipped because their loss or gradients were not finite
}

// run is the state of a training run between steps.
type run struct {
	Setup
	share
	text        string // the effective config
	params      int64  // trained elements
	net         *Compiled
	size        int // of the images that net takes: height and width
	eval        *Evaluator
	planned     int64 // bytes of memory for both, at the greatest size
	left        bool  // a part of the run goes on that nobody waits for any more
	loader, val *data.Loader
	mixer       *mixer // nil without mixing
	store       *checkpoint.Store
	schedule    Schedule
	where       position
	saved       string // the checkpoint in the run's folder that stands where the run does; "" after a step
	result      Result
	bad         int           // bad steps in a row
	scale       *lossScale    // nil unless maps are float16
	factor      *tensor.Dense // (1) float32, the loss scale to write
	rate        *tensor.Dense // (1) float32, the learning rate to write
	count       *tensor.Dense // (1) int32, the step count to write
	stopping    *tensor.Dense // (1) float32, 1 once this rank was asked to stop
	heard       bool          // all ranks know that one was asked to stop
}

// position is where the next step stands.
type position struct {
	epoch, batch int   // 0-based; batches are of train.batch_size images, of all ranks
	sum          meter // of this rank
}

// Run trains and returns the best epoch's result. On cancellation of ctx it finishes the step, saves the state and returns
// ErrStopped; before there is anything to save it returns the context's error. On several ranks, all stop after the same update,
// and an error that only one of them has leaves the others waiting: its process must end in a way that they notice.
func Run(ctx context.Context, s Setup) (_ Result, err error) {
	r, err := open(ctx, s)
	if err != nil {
		return Result{}, err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	start := s.Now()
	if err := s.Sink.Start(r.describe(start)); err != nil {
		return Result{}, err
	}
	for r.where.epoch < s.Config.Train.Epochs {
		epoch := r.where.epoch + 1
		if err := r.epoch(ctx); err != nil {
			return r.result, fmt.Errorf("epoch %d: %w", epoch, err)
		}
	}
	return r.result, s.Sink.Finish(report.Summary{
		BestTop1: r.result.Best.Top1, BestEpoch: r.result.BestEpoch, Checkpoint: r.result.Checkpoint,
		Duration: s.Now().Sub(start), PeakBytes: peakBytes(),
	})
}

// peakBytes is the process's highest resident memory so far.
func peakBytes() int64 {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return u.Maxrss << 10 // Linux counts KiB
}

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

// stop saves the state where the run stands, unless that is done.
func (r *run) stop() error {
	if r.saved == "" {
		if err := r.shareStats(); err != nil {
			return fmt.Errorf("stopping: %w", err)
		}
		model, err := r.net.Model()
		if err != nil {
			return fmt.Errorf("stopping: %w", err)
		}
		if err := r.save(model, nil, false); err != nil {
			return fmt.Errorf("stopping: %w", err)
		}
	}
	return fmt.Errorf("%w; saved %s", ErrStopped, r.saved)
}

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

func (r *run) globalStep() int { return r.where.epoch*r.batches() + r.where.batch }

// beat tells that the run goes on.
func (r *run) beat() {
	if r.Beat != nil {
		r.Beat(r.globalStep())
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
