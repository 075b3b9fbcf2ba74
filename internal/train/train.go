// Package train runs the training loop: it feeds batches to a compiled network, checks each
// step's numbers before they are applied, evaluates after every epoch and saves checkpoints.
//
//	result, err := train.Run(ctx, train.Setup{Config: cfg, Backend: b, Train: src, Val: val, Sink: sink, ...})
package train

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
	"gorgonia.org/tensor"

	"senet/internal/backend"
	"senet/internal/checkpoint"
	"senet/internal/config"
	"senet/internal/data"
	"senet/internal/dist"
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

func (r *run) globalStep() int { return r.where.epoch*r.batches() + r.where.batch }

// beat tells that the run goes on.
func (r *run) beat() {
	if r.Beat != nil {
		r.Beat(r.globalStep())
	}
}
