package train

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"senet/internal/backend"
	"senet/internal/checkpoint"
	"senet/internal/report"
)

// outcome is all of a finished run that must not depend on how often it was interrupted.
type outcome struct {
	manifests []checkpoint.Manifest // of every epoch, checksums included, but without what tells of the attempt
	end       checkpoint.State      // of the last epoch
	best      string                // where the best link leads to
	result    Result
	steps     []report.Step
	epochs    []report.Epoch
}

// history gathers the attempts at a run.
type history struct {
	dir    string
	steps  []report.Step
	epochs []report.Epoch
}

// attempt runs s and keeps what its recorder saw.
func (h *history) attempt(ctx context.Context, s Setup, r *recorder) (Result, error) {
	result, err := Run(ctx, s)
	for _, x := range r.steps {
		x.StepTime, x.DataWait = 0, 0
		h.steps = append(h.steps, x)
	}
	for _, x := range r.epochs {
		x.Duration, x.ImagesPerSecond = 0, 0
		h.epochs = append(h.epochs, x)
	}
	return result, err
}

// outcome is that of the run whose last attempt had the given result.
func (h *history) outcome(t *testing.T, result Result) outcome {
	t.Helper()
	best, err := filepath.EvalSymlinks(result.Checkpoint)
	if err != nil {
		t.Fatal(err)
	}
	o := outcome{best: filepath.Base(best), result: result, steps: h.steps, epochs: h.epochs, end: loadCheckpoint(t, h.dir, "last")}
	o.result.Checkpoint = filepath.Base(result.Checkpoint)
	for i := range h.epochs {
		text, err := os.ReadFile(filepath.Join(h.dir, fmt.Sprintf("epoch-%04d", i+1), "manifest.json"))
		if err != nil {
			t.Fatal(err)
		}
		var m checkpoint.Manifest
		if err := json.Unmarshal(text, &m); err != nil {
			t.Fatal(err)
		}
		m.Created, m.Serial, m.Config = time.Time{}, 0, ""
		o.manifests = append(o.manifests, m)
	}
	return o
}

// unbroken is the outcome of a run in one go.
func unbroken(t *testing.T, s Setup, r *recorder) outcome {
	t.Helper()
	h := &history{dir: s.Config.Output.Dir}
	result, err := h.attempt(t.Context(), s, r)
	if err != nil {
		t.Fatal(err)
	}
	return h.outcome(t, result)
}

// diff compares two outcomes to the bit.
func diff(t *testing.T, have, want outcome) {
	t.Helper()
	if !slices.Equal(have.steps, want.steps) {
		t.Errorf("steps %+v\nwant %+v", have.steps, want.steps)
	}
	if !reflect.DeepEqual(have.epochs, want.epochs) {
		t.Errorf("epochs %+v\nwant %+v", have.epochs, want.epochs)
	}
	if have.result != want.result || have.best != want.best {
		t.Errorf("result %+v, best %s\nwant   %+v, best %s", have.result, have.best, want.result, want.best)
	}
	if !reflect.DeepEqual(have.manifests, want.manifests) {
		t.Errorf("manifests %+v\nwant %+v", have.manifests, want.manifests)
	}
	diffTensors(t, "model", have.end.Model, want.end.Model)
	diffTensors(t, "optimizer", have.end.Optimizer, want.end.Optimizer)
}

// diffTensors compares to the bit.
func diffTensors(t *testing.T, what string, have, want Tensors) {
	t.Helper()
	if len(have) != len(want) || len(want) == 0 {
		t.Errorf("%s: %d tensors, want %d", what, len(have), len(want))
	}
	for name, w := range want {
		if have[name] == nil || !have[name].Shape().Eq(w.Shape()) || !slices.EqualFunc(have[name].Float32s(), w.Float32s(), sameBits) {
			t.Errorf("%s: tensor %q differs", what, name)
		}
	}
}

func sameBits(a, b float32) bool { return math.Float32bits(a) == math.Float32bits(b) }

// interruption cancels a run at some moment.
type interruption func(s *Setup, r *recorder, cancel func())

func afterStep(step int) interruption {
	return func(_ *Setup, r *recorder, cancel func()) {
		r.onStep = func(x report.Step) error {
			if x.GlobalStep == step {
				cancel()
			}
			return nil
		}
	}
}

func afterEpoch(epoch int) interruption {
	return func(_ *Setup, r *recorder, cancel func()) {
		r.onEpoch = func(x report.Epoch) error {
			if x.Epoch == epoch {
				cancel()
			}
			return nil
		}
	}
}

// inEvaluation cancels while the attempt's n-th evaluation reads its last image but one.
func inEvaluation(n int32) interruption {
	return func(s *Setup, _ *recorder, cancel func()) {
		var times atomic.Int32
		val := *s.Val.(*stripes)
		val.read = func(i int) {
			if i == valImages-2 && times.Add(1) == n {
				cancel()
			}
		}
		s.Val = &val
	}
}

// inPreciseStats cancels the attempt while it reads images once more than an epoch's training does.
func inPreciseStats(s *Setup, r *recorder, cancel func()) {
	var again atomic.Int32
	trained := atomic.Bool{}
	r.onStep = func(x report.Step) error {
		if x.Step == 4 {
			trained.Store(true)
		}
		return nil
	}
	set := *s.Train.(*stripes)
	set.read = func(int) {
		if trained.Load() && again.Add(1) == 12 {
			cancel()
		}
	}
	s.Train = &set
}

// twenty are the runs to interrupt, of 5 epochs of 4 steps.
var twenty = map[string][]string{
	"an update each step": {"train.epochs=5"},
	// Windows of 3 steps and 1 within each epoch; averages of the weights; states of another optimiser.
	"accumulating": {"train.epochs=5", "train.accumulate=3", "train.ema_decay=0.9", "train.optimizer=adamw"},
}

// resumed breaks a run at each of the given moments and lets it end.
func resumed(t *testing.T, b backend.Backend, sets []string, workers func(attempt int) int, breaks ...interruption) outcome {
	t.Helper()
	h := &history{dir: t.TempDir()}
	set := func(attempt int) (Setup, *recorder) {
		return smallRun(t, b, h.dir, append([]string{fmt.Sprint("data.workers=", workers(attempt))}, sets...)...)
	}
	for i, at := range breaks {
		s, r := set(i)
		interrupted(t, h, s, r, at)
	}
	s, r := set(len(breaks))
	s.Resume = ResumeAuto
	result, err := h.attempt(t.Context(), s, r)
	if err != nil {
		t.Fatal(err)
	}
	return h.outcome(t, result)
}

// TestResumedRunEndsAsTheUnbrokenOne stops a run of 20 steps after each of the first 19, the last of an epoch among them,
// on 1 and on 2 loader workers, and at other moments (fewer with -short): all end to the bit as the unbroken run does.
func TestResumedRunEndsAsTheUnbrokenOne(t *testing.T) {
	for name, sets := range twenty {
		t.Run(name, func(t *testing.T) { interruptEverywhere(t, sets) })
	}
}

func interruptEverywhere(t *testing.T, sets []string) {
	b := openCPU(t, 1)
	s, r := smallRun(t, b, t.TempDir(), append([]string{"data.workers=1"}, sets...)...)
	want := unbroken(t, s, r)
	if len(want.steps) != 20 || len(want.epochs) != 5 || want.end.Manifest.GlobalStep != 20 {
		t.Fatalf("the unbroken run has %d steps and %d epochs and ends at %+v", len(want.steps), len(want.epochs), want.end.Manifest)
	}
	for workers := 1; workers <= 2; workers++ {
		for step := 1; step <= 19; step += stride() {
			t.Run(fmt.Sprintf("after step %02d on %d workers", step, workers), func(t *testing.T) {
				diff(t, resumed(t, b, sets, func(int) int { return workers }, afterStep(step)), want)
			})
		}
	}
	for name, breaks := range map[string][]interruption{
		"in the first evaluation":             {inEvaluation(1)},
		"in the last evaluation":              {inEvaluation(5)},
		"between two epochs":                  {afterEpoch(2)},
		"twice in an epoch":                   {afterStep(5), afterStep(6)},
		"twice, epochs apart":                 {afterStep(2), afterStep(11)},
		"before, in and after an evaluation":  {afterStep(8), inEvaluation(1), afterEpoch(2), afterStep(9)},
		"after every step, on 1 or 2 workers": everyStep(19),
	} {
		t.Run(name, func(t *testing.T) {
			diff(t, resumed(t, b, sets, func(attempt int) int { return 1 + attempt%2 }, breaks...), want)
		})
	}
}

// TestResumedRunEndsAsTheUnbrokenOneWhereItChanges: images of 6, 6, 7, 8 and 8 pixels, updates of 1, 2, 2, 3 and 3 batches, precise
// batch norm of weights and of their averages.
func TestResumedRunEndsAsTheUnbrokenOneWhereItChanges(t *testing.T) {
	b := openCPU(t, 1)
	for _, ema := range []string{"0", "0.9"} {
		sets := append(growing, "train.epochs=5", "train.accumulate=3", "train.batch_warmup.epochs=3", "train.precise_bn=3", "train.ema_decay="+ema)
		s, r := smallRun(t, b, t.TempDir(), sets...)
		want := unbroken(t, s, r)
		for name, breaks := range map[string][]interruption{
			"before a size":         {afterEpoch(2)},
			"after a size's start":  {afterStep(9), afterStep(13)},
			"in precise statistics": {inPreciseStats, inPreciseStats},
			"in each evaluation":    {inEvaluation(1), inEvaluation(2), inEvaluation(2), inEvaluation(2), inEvaluation(2)},
			"after every step":      everyStep(19),
		} {
			t.Run(name+" with ema_decay "+ema, func(t *testing.T) {
				diff(t, resumed(t, b, sets, func(attempt int) int { return 1 + attempt%2 }, breaks...), want)
			})
		}
	}
}

// stride is from one step at which a run is interrupted to the next: with -short, as for the race detector, few are.
func stride() int {
	if testing.Short() {
		return 6
	}
	return 1
}

func everyStep(last int) []interruption {
	var all []interruption
	for step := 1; step <= last; step += stride() {
		all = append(all, afterStep(step))
	}
	return all
}

// interrupted makes an attempt, which goes on with the one before if there is one, and must stop.
func interrupted(t *testing.T, h *history, s Setup, r *recorder, breaks interruption) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	breaks(&s, r, cancel)
	s.Resume = ResumeAuto
	before := len(h.steps)
	if _, err := h.attempt(ctx, s, r); !errors.Is(err, ErrStopped) {
		t.Fatalf("error %v, want ErrStopped", err)
	}
	if have := r.runs[0].StartStep; have != before {
		t.Errorf("starts at step %d, want %d", have, before)
	}
	if before > 0 && (len(r.notes) != 1 || !strings.Contains(r.notes[0], "resuming "+h.dir)) {
		t.Errorf("notes %q, want the checkpoint that is resumed", r.notes)
	}
}

func TestLoaderWorkersAndThreadsDoNotChangeARun(t *testing.T) {
	b := openCPU(t, 2)
	var want outcome
	for i, workers := range []int{1, 2, 5} {
		s, r := smallRun(t, b, t.TempDir(), fmt.Sprint("data.workers=", workers))
		have := unbroken(t, s, r)
		if i == 0 {
			want = have
		}
		diff(t, have, want)
	}
	h := &history{dir: t.TempDir()}
	s, r := smallRun(t, b, h.dir)
	interrupted(t, h, s, r, afterStep(6))
	s, r = smallRun(t, b, h.dir)
	s.Resume = ResumeAuto
	result, err := h.attempt(t.Context(), s, r)
	if err != nil {
		t.Fatal(err)
	}
	diff(t, h.outcome(t, result), want)
}

func TestFinishedRunResumedEndsAtOnceWithTheSameBest(t *testing.T) {
	b, dir := openCPU(t, 1), t.TempDir()
	s, r := smallRun(t, b, dir)
	want, err := Run(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	s, again := smallRun(t, b, dir)
	s.Resume = ResumeAuto
	have, err := Run(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	if have != want {
		t.Errorf("result %+v, want %+v", have, want)
	}
	if !slices.Equal(again.order, []string{"start", "finish"}) || again.runs[0].StartStep != 12 {
		t.Errorf("events %v from step %d, want none from 12", again.order, again.runs[0].StartStep)
	}
	x, y := again.summaries[0], r.summaries[0]
	if x.BestTop1 != y.BestTop1 || x.BestEpoch != y.BestEpoch || x.Checkpoint != y.Checkpoint {
		t.Errorf("summary %+v, want %+v", x, y)
	}
	if newest, err := checkpoint.Newest(dir); err != nil || newest.Path != filepath.Join(dir, "epoch-0003") {
		t.Errorf("the newest checkpoint is %s, want that of epoch 3: %v", newest.Path, err)
	}
}
