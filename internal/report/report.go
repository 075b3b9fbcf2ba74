// Package report is what people and tools see of a run: progress on the terminal, a JSONL
// record, TensorBoard event files, and a self-contained HTML report. Training tells a Sink
// what happens; WriteHTML shows an evaluation together with the record of the training.
//
//	sink := report.Tee(report.NewTerminal(os.Stdout, report.TerminalOptions{Now: time.Now}), jsonl)
//	err := sink.Start(report.Run{Model: "seresnet20", Epochs: 5, BatchesPerEpoch: 468})
//	err = sink.Step(report.Step{Epoch: 1, Step: 1, GlobalStep: 1, Images: 128, Loss: 2.31})
//
// Accuracies are percentages throughout, losses are means over images.
package report

import (
	"errors"
	"time"
)

// Sink is told of a run's events in order: Start, then steps and epochs, Finish if the run
// reaches its last epoch, and Close in any case. One goroutine at a time may use it.
type Sink interface {
	Start(Run) error
	Step(Step) error
	Epoch(Epoch) error
	Finish(Summary) error
	Close() error
}

// Run describes a training run at its start.
type Run struct {
	Model           string    `json:"model"`
	Params          int64     `json:"params"`        // trained numbers
	PlannedBytes    int64     `json:"planned_bytes"` // planned peak memory of training
	Device          string    `json:"device"`        // the backend's description
	Data            string    `json:"data"`          // the data set's name
	TrainImages     int       `json:"train_images"`
	ValImages       int       `json:"val_images"`
	Epochs          int       `json:"epochs"`
	BatchSize       int       `json:"batch_size"`
	BatchesPerEpoch int       `json:"batches_per_epoch"`    // at least 1
	StartStep       int       `json:"start_step,omitempty"` // global steps that an earlier attempt has done; 0 unless resumed
	Started         time.Time `json:"started"`
	Config          string    `json:"config"` // effective, YAML
}

// Step is one training step. A step whose loss is not finite was skipped, and its Top1 says nothing.
type Step struct {
	Epoch      int // 1-based
	Step       int // within the epoch, 1-based
	GlobalStep int // steps done since the start of the first epoch, this one included
	Images     int
	Loss       float64
	Top1       float64
	LR         float64
	StepTime   time.Duration // from one step's start to the next's, DataWait included
	DataWait   time.Duration // waiting for the batch
	LossScale  float64       // by which the loss's gradient was multiplied; 0 without a loss scale
	GPU        GPU           // lately; zero where it cannot be told
}

// GPU is what a GPU's driver says of it, of all processes that use it.
type GPU struct {
	Utilization float64 `json:"utilization"` // percent of the time in which a kernel ran
	UsedBytes   int64   `json:"used_bytes"`  // of its memory
}

// Epoch is the outcome of one epoch of training and the evaluation after it.
type Epoch struct {
	Epoch           int // 1-based
	GlobalStep      int // steps done at its end
	TrainLoss       float64
	TrainTop1       float64
	TrainTop5       float64
	ValLoss         float64
	ValTop1         float64
	ValTop5         float64
	ImagesPerSecond float64       // of training
	Duration        time.Duration // training and evaluation
	Best            bool          // the best epoch so far
	ImageSize       int           // height and width of the training images in pixels
	Gates           []Gates       // by stage; nil for a network without SE blocks
}

// Summary is the outcome of a run that reached its last epoch.
type Summary struct {
	BestTop1   float64
	BestEpoch  int    // 1-based
	Checkpoint string // where the best epoch's model is
	Duration   time.Duration
	PeakBytes  int64 // the process's highest resident memory
}

// Tee returns a Sink that passes every event to each of sinks. One that fails keeps none of
// the others from its event; the errors are joined.
func Tee(sinks ...Sink) Sink { return tee(sinks) }

type tee []Sink

func (t tee) each(f func(Sink) error) error {
	var errs []error
	for _, s := range t {
		errs = append(errs, f(s))
	}
	return errors.Join(errs...)
}

func (t tee) Start(r Run) error      { return t.each(func(s Sink) error { return s.Start(r) }) }
func (t tee) Step(x Step) error      { return t.each(func(s Sink) error { return s.Step(x) }) }
func (t tee) Epoch(e Epoch) error    { return t.each(func(s Sink) error { return s.Epoch(e) }) }
func (t tee) Finish(m Summary) error { return t.each(func(s Sink) error { return s.Finish(m) }) }
func (t tee) Close() error           { return t.each(Sink.Close) }
