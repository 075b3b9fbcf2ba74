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
	Notef       func(format string, args ...any) // tells the user what is worth a line
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
	text        string // the effective config
	params      int64  // trained elements
	net         *Compiled
	eval        *Evaluator
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
}

// position is where the next step stands.
type position struct {
	epoch, batch int // 0-based
	sum          meter
}

// Run trains and returns the best epoch's result. On cancellation of ctx it finishes the step, saves the state and returns
// ErrStopped; before there is anything to save it returns the context's error.
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
	f := r.feeder(ctx)
	defer leave(f.it)
	f.next()
	first := r.where.sum.images
	for stepStart := start; !errors.Is(f.err, io.EOF); stepStart = r.Now() {
		step, err := r.where.batch+1, f.err
		if err == nil {
			err = r.step(f, stepStart)
		}
		if ctx.Err() != nil && (err == nil || errors.Is(err, ctx.Err())) {
			return r.stop()
		}
		if err != nil {
			return fmt.Errorf("step %d: %w", step, err)
		}
	}
	took := r.Now().Sub(start)
	speed := float64(r.where.sum.images-first) / took.Seconds()
	return r.endEpoch(ctx, speed, start)
}

// feeder feeds the network from where the run stands.
func (r *run) feeder(ctx context.Context) *feeder {
	at := r.where
	return &feeder{it: r.loader.Epoch(ctx, at.epoch, at.batch), net: r.net, mixer: r.mixer, epoch: at.epoch, batch: at.batch}
}

// stop saves the state where the run stands, unless that is done.
func (r *run) stop() error {
	if r.saved == "" {
		model, err := r.net.Model()
		if err != nil {
			return fmt.Errorf("stopping: %w", err)
		}
		if _, err := r.save(model, nil, false); err != nil {
			return fmt.Errorf("stopping: %w", err)
		}
	}
	return fmt.Errorf("%w; saved %s", ErrStopped, r.saved)
}

// step trains on the batch that f has written and reports it. A step whose loss or gradient norm is not finite is
// not applied: neither parameters nor running statistics change.
func (r *run) step(f *feeder, start time.Time) error {
	lr, images := r.schedule.At(r.update()), f.images
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
	r.where.batch++
	r.saved = ""
	return r.Sink.Step(report.Step{
		Epoch: r.where.epoch + 1, Step: r.where.batch, GlobalStep: r.globalStep(), Images: images,
		Loss: score.loss, LR: lr, Top1: 100 * float64(score.top1) / float64(max(score.images, 1)),
		StepTime: r.Now().Sub(start), DataWait: f.wait(), LossScale: float64(r.factor.Data().([]float32)[0]),
	})
}

// feed writes the step's inputs that do not come from the loader.
func (r *run) feed(lr float64) error {
	p := r.net.Program
	r.rate.Data().([]float32)[0] = float32(lr)
	r.count.Data().([]int32)[0] = int32(r.globalStep())
	if r.scale != nil {
		r.factor.Data().([]float32)[0] = float32(r.scale.factor)
	}
	for _, in := range []struct {
		v *graph.Value
		t *tensor.Dense
	}{{p.LearningRate, r.rate}, {p.LossScale, r.factor}, {p.StepCount, r.count}} {
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
	score, err := r.where.sum.add(r.net)
	if err != nil {
		return score, err
	}
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

// finiteStep reports whether the step's loss and the norm of its gradients are finite numbers.
func (r *run) finiteStep() (bool, error) {
	for _, v := range []*graph.Value{r.net.Program.Loss, r.net.Program.GradNorm} {
		if x, err := r.net.scalar(v); err != nil || !finite(x) {
			return false, err
		}
	}
	return true, nil
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

// updates is how many an epoch has; the last may be of fewer steps than the others.
func (r *run) updates() int {
	k := r.Config.Train.Accumulate
	return (r.loader.Batches() + k - 1) / k
}

// update is the number of the update that the next step belongs to.
func (r *run) update() int {
	return r.where.epoch*r.updates() + r.where.batch/r.Config.Train.Accumulate
}

// endWindow updates the parameters after the last step of an update, unless all its steps were skipped.
func (r *run) endWindow() error {
	done := r.where.batch + 1
	if done%r.Config.Train.Accumulate != 0 && done != r.loader.Batches() {
		return nil
	}
	if n, err := r.net.scalar(r.net.Program.Accumulated); err != nil || n == 0 {
		return err
	}
	return r.net.Run(graph.Update)
}

func (r *run) globalStep() int { return r.where.epoch*r.loader.Batches() + r.where.batch }

// endEpoch evaluates, saves and reports, and moves to the next epoch.
func (r *run) endEpoch(ctx context.Context, speed float64, start time.Time) error {
	trained := r.where.sum.score()
	model, err := r.net.Model()
	if err != nil {
		return err
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
	score, err := r.eval.Evaluate(it, func(b *data.Batch, _ [][]float32) (err error) {
		if gates == nil { // of the first batch
			gates, err = r.eval.Gates(b.Size)
		}
		return err
	})
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return r.stop()
	}
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
	if _, err := r.save(model, &score, best); err != nil {
		return err
	}
	return r.Sink.Epoch(report.Epoch{
		Epoch: r.where.epoch, GlobalStep: r.globalStep(),
		TrainLoss: trained.Loss, TrainTop1: trained.Top1, TrainTop5: trained.Top5,
		ValLoss: score.Loss, ValTop1: score.Top1, ValTop5: score.Top5,
		ImagesPerSecond: speed, Duration: r.Now().Sub(start), Best: best, Gates: gates,
	})
}
