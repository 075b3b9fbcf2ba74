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
	Now        func() time.Time
	Notef      func(format string, args ...any) // tells the user what is worth a line
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
	store       *checkpoint.Store
	schedule    Schedule
	where       position
	result      Result
	bad         int           // bad steps in a row
	rate        *tensor.Dense // (1) float32, the learning rate to write
	count       *tensor.Dense // (1) int32, the step count to write
}

// position is where the next step stands.
type position struct {
	epoch, batch int // 0-based
	sum          meter
}

// Run trains and returns the best epoch's result. On cancellation of ctx it finishes the step,
// saves the state and returns ErrStopped.
func Run(ctx context.Context, s Setup) (_ Result, err error) {
	r, err := open(s)
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
	it := r.loader.Epoch(ctx, r.where.epoch, r.where.batch)
	defer it.Close()
	waited := time.Duration(0)
	first := r.where.sum.images
	for {
		step, stepStart := r.where.batch+1, r.Now()
		b, err := it.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = r.step(b, it.Waited()-waited, stepStart)
			waited = it.Waited()
			it.Recycle(b)
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

// stop saves the state in the middle of an epoch.
func (r *run) stop() error {
	model, err := r.net.Get(r.net.ModelValues())
	if err != nil {
		return fmt.Errorf("stopping: %w", err)
	}
	path, err := r.save(model, nil, false)
	if err != nil {
		return fmt.Errorf("stopping: %w", err)
	}
	return fmt.Errorf("%w; saved %s", ErrStopped, path)
}

// step trains on one batch and reports it. A step whose loss or gradient norm is not finite is
// not applied: neither parameters nor running statistics change.
func (r *run) step(b *data.Batch, waited time.Duration, start time.Time) error {
	lr := r.schedule.At(r.globalStep())
	if err := r.feed(b, lr); err != nil {
		return err
	}
	if err := r.net.Run(graph.Step); err != nil {
		return err
	}
	ok, err := r.finiteStep()
	if err != nil {
		return err
	}
	var score stepScore
	if ok {
		r.bad = 0
		if err := r.net.Run(graph.Update); err != nil {
			return err
		}
		if score, err = r.where.sum.add(r.net); err != nil {
			return err
		}
	} else {
		score.loss = math.NaN()
		r.bad++
		r.result.BadSteps++
		if r.bad == maxBadSteps {
			return fmt.Errorf("%w: loss or gradients were not finite in %d steps in a row", ErrDiverged, r.bad)
		}
	}
	r.where.batch++
	return r.Sink.Step(report.Step{
		Epoch: r.where.epoch + 1, Step: r.where.batch, GlobalStep: r.globalStep(), Images: b.Size,
		Loss: score.loss, LR: lr, Top1: 100 * float64(score.top1) / float64(max(score.images, 1)),
		StepTime: r.Now().Sub(start), DataWait: waited,
	})
}

// feed writes the step's inputs.
func (r *run) feed(b *data.Batch, lr float64) error {
	p := r.net.Program
	r.rate.Data().([]float32)[0] = float32(lr)
	r.count.Data().([]int32)[0] = int32(r.globalStep())
	for _, in := range []struct {
		v *graph.Value
		t *tensor.Dense
	}{{p.Image, b.Images}, {p.Labels, b.Labels}, {p.LearningRate, r.rate}, {p.StepCount, r.count}} {
		if in.v == nil {
			continue
		}
		if err := r.net.Write(in.v, in.t); err != nil {
			return err
		}
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

func (r *run) globalStep() int { return r.where.epoch*r.loader.Batches() + r.where.batch }

// endEpoch evaluates, saves and reports, and moves to the next epoch.
func (r *run) endEpoch(ctx context.Context, speed float64, start time.Time) error {
	trained := r.where.sum.score()
	model, err := r.net.Get(r.net.ModelValues())
	if err != nil {
		return err
	}
	if err := r.eval.Load(model); err != nil {
		return err
	}
	it := r.val.Epoch(ctx, 0, 0)
	defer it.Close()
	score, err := r.eval.Evaluate(it, nil)
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
		ImagesPerSecond: speed, Duration: r.Now().Sub(start), Best: best,
	})
}
