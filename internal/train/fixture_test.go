package train

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"senet/internal/backend"
	"senet/internal/checkpoint"
	"senet/internal/config"
	"senet/internal/cpu"
	"senet/internal/report"
)

const (
	side       = 8  // pixels of an image, both ways
	valImages  = 21 // two full batches of the evaluation and a part of one
	imageNoise = 60 // grey levels
)

// stripes is a data set in memory: grey images with vertical stripes, horizontal stripes or
// neither, under noise that depends on nothing but the image's number.
type stripes struct {
	n, first int           // images, and the number of the first
	read     func(i int)   // told of every Read, from many goroutines; may be nil
	fail     map[int]error // by image
}

func (s *stripes) Len() int             { return s.n }
func (s *stripes) Shape() (h, w, c int) { return side, side, 1 }
func (s *stripes) Classes() []string    { return []string{"vertical", "horizontal", "plain"} }

func (s *stripes) Read(i int, pixels []uint8) (int32, error) {
	if s.read != nil {
		s.read(i)
	}
	if err := s.fail[i]; err != nil {
		return 0, err
	}
	noise := rand.New(rand.NewPCG(1, uint64(s.first+i)))
	label := (s.first + i) % 3
	for y := range side {
		for x := range side {
			grey := 90
			if label == 0 && x%2 == 0 || label == 1 && y%2 == 0 {
				grey = 160
			}
			pixels[y*side+x] = uint8(grey - imageNoise/2 + noise.IntN(imageNoise))
		}
	}
	return int32(label), nil
}

// recorder is a Sink that keeps every event. A hook, if set, sees an event after it was kept.
type recorder struct {
	order     []string // "start", "step 1", "epoch 1", "finish"
	runs      []report.Run
	steps     []report.Step
	epochs    []report.Epoch
	summaries []report.Summary
	notes     []string

	onStart func() error
	onStep  func(report.Step) error
	onEpoch func(report.Epoch) error

	cancel func() // of the run's context, where the test sets it
}

func (r *recorder) Start(x report.Run) error {
	r.order, r.runs = append(r.order, "start"), append(r.runs, x)
	if r.onStart != nil {
		return r.onStart()
	}
	return nil
}

func (r *recorder) Step(x report.Step) error {
	r.order, r.steps = append(r.order, fmt.Sprint("step ", x.GlobalStep)), append(r.steps, x)
	if r.onStep != nil {
		return r.onStep(x)
	}
	return nil
}

func (r *recorder) Epoch(x report.Epoch) error {
	r.order, r.epochs = append(r.order, fmt.Sprint("epoch ", x.Epoch)), append(r.epochs, x)
	if r.onEpoch != nil {
		return r.onEpoch(x)
	}
	return nil
}

func (r *recorder) Finish(x report.Summary) error {
	r.order, r.summaries = append(r.order, "finish"), append(r.summaries, x)
	return nil
}

func (r *recorder) Close() error { return nil }

func (r *recorder) notef(format string, args ...any) {
	r.notes = append(r.notes, fmt.Sprintf(format, args...))
}

// openCPU opens a backend for one test. One thread is the fastest for images this small, and two
// stall each other for seconds where other programs keep the cores busy.
func openCPU(t *testing.T, threads int) backend.Backend {
	t.Helper()
	b, err := cpu.New(cpu.Options{Threads: threads})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// smallRun is a run of 3 epochs of 4 steps into dir with everything in use that a resumed run could
// get wrong: dropout, warm-up, momentum, augmentation, label smoothing. It has its own recorder.
func smallRun(t *testing.T, b backend.Backend, dir string, sets ...string) (Setup, *recorder) {
	t.Helper()
	text := fmt.Sprintf(`
model: {name: seresnet20_cifar, classes: 3, dropout: 0.2}
data: {image_size: %d, mean: [0.45], std: [0.2], workers: 2, augment: {crop_pad: 1, flip: true}}
train: {epochs: 3, batch_size: 8, lr: 0.05, min_lr: 0.001, warmup_epochs: 0.5, label_smoothing: 0.1, seed: 7}
eval: {batch_size: 8}
output: {dir: %q, keep_checkpoints: 20}
`, side, dir)
	cfg, err := config.Parse("test", []byte(text), sets)
	if err != nil {
		t.Fatal(err)
	}
	r := &recorder{}
	return Setup{
		Config: cfg, Backend: b, Train: &stripes{n: 34}, Val: &stripes{n: valImages, first: 1000},
		Sink: r, Libraries: map[string]string{"test": "1"}, Now: time.Now, Notef: r.notef,
	}, r
}

// loadCheckpoint loads a checkpoint that must be intact.
func loadCheckpoint(t *testing.T, elem ...string) checkpoint.State {
	t.Helper()
	s, err := checkpoint.Load(filepath.Join(elem...))
	if err != nil {
		t.Fatal(err)
	}
	return s
}
