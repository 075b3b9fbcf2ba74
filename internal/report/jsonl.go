package report

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"time"
)

// JSONL records a run in a file, one JSON object a line. Metrics have the names of NVIDIA's
// DeepLearningExamples where those exist (train.loss, train.total_ips, train.data_time,
// val.top1, ...); times are in seconds. A number that is not finite is written as null, and
// "finite" is false in a row whose losses are not all finite.
type JSONL struct {
	w io.WriteCloser
}

// NewJSONL opens path to append to it, so that a resumed run goes on in the same file. What a
// kill left of an incomplete last line is cut off.
func NewJSONL(path string) (*JSONL, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open metrics: %w", err)
	}
	if err := endLine(f); err != nil {
		return nil, errors.Join(fmt.Errorf("append to %s: %w", path, err), f.Close())
	}
	return &JSONL{w: f}, nil
}

// endLine moves to the end of f and makes sure that a line starts there.
func endLine(f *os.File) error {
	var end int64 // of the last line that is ended
	r := bufio.NewReader(f)
	rest, err := r.ReadBytes('\n')
	for ; err == nil; rest, err = r.ReadBytes('\n') {
		end += int64(len(rest))
	}
	switch {
	case !errors.Is(err, io.EOF):
		return err
	case len(rest) == 0:
		return nil
	case json.Valid(rest):
		_, err := f.Write([]byte("\n"))
		return err
	}
	if err := f.Truncate(end); err != nil {
		return err
	}
	_, err = f.Seek(end, io.SeekStart)
	return err
}

// write appends a row in one write, so that a kill costs no more than that row.
func (j *JSONL) write(row any) error {
	line, err := json.Marshal(row)
	if err != nil {
		return fmt.Errorf("encode metrics: %w", err)
	}
	if _, err := j.w.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("write metrics: %w", err)
	}
	return nil
}

// Start writes the run's description.
func (j *JSONL) Start(r Run) error { return j.write(startRow{"start", r}) }

// Step writes a step.
func (j *JSONL) Step(s Step) error { return j.write(newStepRow(s)) }

// Epoch writes an epoch.
func (j *JSONL) Epoch(e Epoch) error { return j.write(newEpochRow(e)) }

// Finish writes the run's outcome.
func (j *JSONL) Finish(s Summary) error {
	return j.write(finishRow{"finish", number(s.BestTop1), s.BestEpoch, s.Checkpoint, s.Duration.Seconds(), s.PeakBytes})
}

// Close closes the file.
func (j *JSONL) Close() error { return j.w.Close() }

// number is a float64 that JSON holds as null when it is not finite, and that reads null as NaN.
type number float64

func (x number) MarshalJSON() ([]byte, error) {
	if !finite(float64(x)) {
		return []byte("null"), nil
	}
	return json.Marshal(float64(x))
}

func (x *number) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*x = number(math.NaN())
		return nil
	}
	return json.Unmarshal(b, (*float64)(x))
}

type startRow struct {
	Event string `json:"event"`
	Run
}

type stepRow struct {
	Event       string  `json:"event"`
	Epoch       int     `json:"epoch"`
	Step        int     `json:"step"`
	GlobalStep  int     `json:"global_step"`
	Images      int     `json:"images"`
	Finite      bool    `json:"finite"`
	Loss        number  `json:"train.loss"`
	Top1        number  `json:"train.top1"`
	LR          number  `json:"train.lr"`
	TotalIPS    number  `json:"train.total_ips"`
	DataTime    float64 `json:"train.data_time"`
	ComputeTime float64 `json:"train.compute_time"`
	LossScale   float64 `json:"train.loss_scale,omitempty"`
	GPU         GPU     `json:"gpu,omitzero"`
}

func newStepRow(s Step) stepRow {
	row := stepRow{
		Event: "step", Epoch: s.Epoch, Step: s.Step, GlobalStep: s.GlobalStep, Images: s.Images,
		Finite: finite(s.Loss), Loss: number(s.Loss), Top1: number(s.Top1), LR: number(s.LR),
		TotalIPS: number(float64(s.Images) / s.StepTime.Seconds()),
		DataTime: s.DataWait.Seconds(), ComputeTime: (s.StepTime - s.DataWait).Seconds(), LossScale: s.LossScale, GPU: s.GPU,
	}
	if !row.Finite {
		row.Top1 = number(math.NaN())
	}
	return row
}

func (r stepRow) step() Step {
	return Step{
		Epoch: r.Epoch, Step: r.Step, GlobalStep: r.GlobalStep, Images: r.Images,
		Loss: float64(r.Loss), Top1: float64(r.Top1), LR: float64(r.LR),
		StepTime: seconds(r.DataTime) + seconds(r.ComputeTime), DataWait: seconds(r.DataTime), LossScale: r.LossScale, GPU: r.GPU,
	}
}

type epochRow struct {
	Event      string  `json:"event"`
	Epoch      int     `json:"epoch"`
	GlobalStep int     `json:"global_step"`
	Finite     bool    `json:"finite"`
	TrainLoss  number  `json:"train.loss"`
	TrainTop1  number  `json:"train.top1"`
	TrainTop5  number  `json:"train.top5"`
	TotalIPS   number  `json:"train.total_ips"`
	ValLoss    number  `json:"val.loss"`
	ValTop1    number  `json:"val.top1"`
	ValTop5    number  `json:"val.top5"`
	Duration   float64 `json:"duration"`
	Best       bool    `json:"best"`
	ImageSize  int     `json:"image_size,omitempty"`

	Gates []gatesRow `json:"gates,omitempty"`
}

func newEpochRow(e Epoch) epochRow {
	return epochRow{
		Event: "epoch", Epoch: e.Epoch, GlobalStep: e.GlobalStep, Finite: finite(e.TrainLoss) && finite(e.ValLoss),
		TrainLoss: number(e.TrainLoss), TrainTop1: number(e.TrainTop1), TrainTop5: number(e.TrainTop5),
		TotalIPS: number(e.ImagesPerSecond),
		ValLoss:  number(e.ValLoss), ValTop1: number(e.ValTop1), ValTop5: number(e.ValTop5),
		Duration: e.Duration.Seconds(), Best: e.Best, ImageSize: e.ImageSize, Gates: newGatesRows(e.Gates),
	}
}

func (r epochRow) epoch() Epoch {
	return Epoch{
		Epoch: r.Epoch, GlobalStep: r.GlobalStep,
		TrainLoss: float64(r.TrainLoss), TrainTop1: float64(r.TrainTop1), TrainTop5: float64(r.TrainTop5),
		ValLoss: float64(r.ValLoss), ValTop1: float64(r.ValTop1), ValTop5: float64(r.ValTop5),
		ImagesPerSecond: float64(r.TotalIPS), Duration: seconds(r.Duration), Best: r.Best, ImageSize: r.ImageSize, Gates: gatesOf(r.Gates),
	}
}

type finishRow struct {
	Event      string  `json:"event"`
	BestTop1   number  `json:"best.val.top1"`
	BestEpoch  int     `json:"best_epoch"`
	Checkpoint string  `json:"checkpoint"`
	Duration   float64 `json:"duration"`
	PeakBytes  int64   `json:"peak_bytes"`
}

func (r finishRow) summary() Summary {
	return Summary{float64(r.BestTop1), r.BestEpoch, r.Checkpoint, seconds(r.Duration), r.PeakBytes}
}

func seconds(s float64) time.Duration {
	return time.Duration(math.Round(s * float64(time.Second)))
}
