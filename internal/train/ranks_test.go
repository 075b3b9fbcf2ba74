package train

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"gorgonia.org/tensor"

	"senet/internal/backend"
	"senet/internal/backend/backendtest"
	"senet/internal/checkpoint"
	"senet/internal/config"
	"senet/internal/cpu"
	"senet/internal/dist"
	"senet/internal/graph"
	"senet/internal/report"
)

// hall is where the ranks of a job that share a process meet.
type hall struct {
	mu       sync.Mutex
	messages [][]byte
	missing  int
	full     chan struct{}
}

// seat is a rank's dist.Group in a hall.
type seat struct {
	*hall
	rank int
}

func groups(ranks int) []dist.Group {
	h := &hall{missing: ranks, messages: make([][]byte, ranks), full: make(chan struct{})}
	var all []dist.Group
	for rank := range ranks {
		all = append(all, seat{h, rank})
	}
	return all
}

func (s seat) Rank() int    { return s.rank }
func (s seat) Size() int    { return len(s.messages) }
func (s seat) Close() error { return nil }

func (s seat) Gather(mine []byte) ([][]byte, error) {
	s.mu.Lock()
	messages, full := s.messages, s.full
	messages[s.rank] = mine
	if s.missing--; s.missing == 0 {
		s.messages, s.missing, s.full = make([][]byte, len(messages)), len(messages), make(chan struct{})
		close(full)
	}
	s.mu.Unlock()
	<-full
	return messages, nil
}

// member is one rank of a test's job, or its only process.
type member struct {
	*recorder
	result Result
	err    error
}

// train runs smallRun on so many ranks, each of which adjust may change, to the end of all.
func trainRanks(t *testing.T, ranks int, dir string, sets []string, adjust func(rank int, s *Setup, r *recorder)) []member {
	t.Helper()
	members, gs, collectives := make([]member, ranks), groups(ranks), backendtest.Collectives(ranks)
	var running sync.WaitGroup
	for rank := range ranks {
		o := cpu.Options{Threads: 1}
		if ranks > 1 {
			o.Collective = collectives[rank]
		}
		b, err := cpu.New(o)
		if err != nil {
			t.Fatal(err)
		}
		s, r := smallRun(t, b, dir, sets...)
		if ranks > 1 {
			s.Group = gs[rank]
		}
		s.Resume = ResumeAuto
		if adjust != nil {
			adjust(rank, &s, r)
		}
		members[rank].recorder = r
		ctx, cancel := context.WithCancel(t.Context())
		r.cancel = cancel
		running.Go(func() {
			defer cancel()
			members[rank].result, members[rank].err = Run(ctx, s)
			if err := b.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	running.Wait()
	return members
}

// succeeded fails the test unless all members did well.
func succeeded(t *testing.T, members []member) {
	t.Helper()
	for rank, m := range members {
		if m.err != nil {
			t.Fatalf("rank %d of %d: %v", rank, len(members), m.err)
		}
	}
}

// apart is the greatest difference of two sets of tensors, relative to the greatest number of the tensor, and where it is.
func apart(t *testing.T, a, b Tensors, counts func(name string) bool) (float64, string) {
	t.Helper()
	greatest, where := 0.0, "none"
	for name, x := range a {
		if !counts(name) {
			continue
		}
		y := b[name]
		if y == nil || !x.Shape().Eq(y.Shape()) {
			t.Fatalf("%q differs in shape", name)
		}
		scale, most := 0.0, 0.0
		for i, v := range x.Float32s() {
			scale = max(scale, math.Abs(float64(v)))
			if d := math.Abs(float64(v - y.Float32s()[i])); !(d <= most) {
				most = d
			}
		}
		if d := most / max(scale, 1e-3); !(d <= greatest) {
			greatest, where = d, name
		}
	}
	return greatest, where
}

func parameters(name string) bool { return !strings.Contains(name, ".running_") }
func everything(string) bool      { return true }

// TestRanksTrainAsOneProcess: step by step, with the same micro-batches on one process that accumulates them. Batch norm's
// running statistics are each rank's own but for precise ones.
func TestRanksTrainAsOneProcess(t *testing.T) {
	for name, c := range map[string]struct {
		ranks  []int
		sets   []string
		counts func(string) bool
	}{
		"sgd": {[]int{2}, []string{"train.accumulate=2"}, parameters},
		"adamw, mixed, averaged, precise": {[]int{2, 4}, []string{
			"train.accumulate=4", "train.optimizer=adamw", "train.lr=0.004", "train.clip_norm=0.5", "train.ema_decay=0.5", "train.precise_bn=4",
			"data.augment.mix.mixup_alpha=0.4", "data.augment.mix.cutmix_alpha=1",
		}, everything},
		"a batch that grows": {[]int{2}, []string{"train.accumulate=4", "train.batch_warmup.from=2", "train.batch_warmup.epochs=1"}, parameters},
	} {
		t.Run(name, func(t *testing.T) {
			sets := append([]string{"train.epochs=3"}, c.sets...)
			longer := func(_ int, s *Setup, _ *recorder) { s.Train = &stripes{n: 100} } // 12 batches
			alone := t.TempDir()
			one := trainRanks(t, 1, alone, sets, longer)
			succeeded(t, one)
			for _, ranks := range c.ranks {
				dir := t.TempDir()
				members := trainRanks(t, ranks, dir, sets, longer)
				succeeded(t, members)
				for rank, m := range members {
					if len(m.steps) != len(one[0].steps)/ranks {
						t.Fatalf("%d ranks: rank %d takes %d steps, want %d", ranks, rank, len(m.steps), len(one[0].steps)/ranks)
					}
				}
				for i, x := range members[0].steps {
					loss := 0.0
					for _, y := range one[0].steps[i*ranks : (i+1)*ranks] {
						loss += y.Loss / float64(ranks)
					}
					last := one[0].steps[(i+1)*ranks-1]
					if !(math.Abs(x.Loss-loss) <= 2e-4*loss) || x.GlobalStep != last.GlobalStep || x.LR != last.LR || x.Images != 8*ranks {
						t.Errorf("%d ranks, step %+v\nwant loss %v and as %+v", ranks, x, loss, last)
					}
				}
				a, b := loadCheckpoint(t, alone, "last"), loadCheckpoint(t, dir, "last")
				if d, where := apart(t, a.Model, b.Model, c.counts); !(d <= 2e-3) {
					t.Errorf("%d ranks: %q is apart by %v", ranks, where, d)
				}
				if x, y := a.Manifest, b.Manifest; x.GlobalStep != y.GlobalStep || x.Batch != y.Batch || x.Epoch != y.Epoch {
					t.Errorf("%d ranks stand at %+v, one process at %+v", ranks, y, x)
				}
				checkEvaluation(t, b)
			}
		})
	}
}

// checkEvaluation compares what ranks saved of their evaluation with that of a single process, to the bit.
func checkEvaluation(t *testing.T, saved checkpoint.State) {
	t.Helper()
	b := newSpy(t)
	s, _ := smallRun(t, b, "unused")
	if want := checkpoint.Score(evaluate(t, b, s, s.Config.Eval.BatchSize, saved.Model, nil)); *saved.Manifest.Val != want {
		t.Errorf("ranks evaluate %+v, one process %+v", *saved.Manifest.Val, want)
	}
}

// stopAt makes a rank be asked to stop during a step.
func stopAt(globalStep int) func(*Setup, *recorder) {
	return func(_ *Setup, r *recorder) {
		r.onStep = func(x report.Step) error {
			if x.GlobalStep >= globalStep {
				r.cancel()
			}
			return nil
		}
	}
}

// TestRunsGoOnOnAnyNumberOfRanks: stopped by one of k ranks, resumed on m.
func TestRunsGoOnOnAnyNumberOfRanks(t *testing.T) {
	sets := []string{"train.epochs=2", "train.accumulate=4", "train.ema_decay=0.5"}
	prepare := func(_ int, s *Setup, _ *recorder) { s.Train = &stripes{n: 100} } // 12 batches, 3 updates
	unbroken, first := map[int]checkpoint.State{}, map[int]report.Epoch{}
	for _, m := range []int{1, 2, 4} {
		dir := t.TempDir()
		members := trainRanks(t, m, dir, sets, prepare)
		succeeded(t, members)
		unbroken[m], first[m] = loadCheckpoint(t, dir, "last"), members[0].epochs[0]
	}
	for _, k := range []int{1, 2, 4} {
		for _, m := range []int{1, 2, 4} {
			t.Run(fmt.Sprintf("%d to %d", k, m), func(t *testing.T) {
				dir := t.TempDir()
				stopped := trainRanks(t, k, dir, sets, func(rank int, s *Setup, r *recorder) {
					prepare(rank, s, r)
					if rank == k-1 {
						stopAt(map[int]int{1: 6, 2: 6, 4: 4}[k])(s, r)
					}
				})
				at := loadCheckpoint(t, dir, "last").Manifest
				want := 8 // the end of the update
				if k == 1 {
					want = 6
				}
				for rank, x := range stopped {
					if !errors.Is(x.err, ErrStopped) || at.Batch != want || x.steps[len(x.steps)-1].GlobalStep != want {
						t.Fatalf("rank %d stopped at step %d with %v, saved at batch %d, want %d", rank, x.steps[len(x.steps)-1].GlobalStep, x.err, at.Batch, want)
					}
				}
				members := trainRanks(t, m, dir, sets, prepare)
				succeeded(t, members)
				back := strings.Contains(strings.Join(members[0].notes, "\n"), fmt.Sprintf("which %d ranks begin anew: 2 steps", m))
				if back != (k == 1 && m > 1) {
					t.Errorf("notes %q", members[0].notes)
				}
				if first := members[0].steps[0].GlobalStep; k == 1 && m > 1 && first != 4+m || first != want+1 && m == 1 {
					t.Errorf("goes on with step %d", first)
				}
				if x, y := members[0].epochs[0], first[m]; k == m && (x.TrainLoss != y.TrainLoss || x.TrainTop1 != y.TrainTop1) {
					t.Errorf("the epoch is %+v, want %+v", x, y)
				}
				end := loadCheckpoint(t, dir, "last")
				limit := 2e-3
				if k == m {
					limit = 0
				}
				if d, where := apart(t, end.Model, unbroken[m].Model, parameters); !(d <= limit) {
					t.Errorf("the parameters' %q is apart by %v", where, d)
				}
				if d, where := apart(t, end.Optimizer, unbroken[m].Optimizer, parameters); !(d <= 10*limit) {
					t.Errorf("the state's %q is apart by %v", where, d)
				}
				checkEvaluation(t, end)
			})
		}
	}
}

// TestAStopInAnEvaluationStopsAllRanks: only one of them is asked, while it evaluates.
func TestAStopInAnEvaluationStopsAllRanks(t *testing.T) {
	dir := t.TempDir()
	members := trainRanks(t, 2, dir, []string{"train.accumulate=2"}, func(rank int, s *Setup, r *recorder) {
		if rank == 0 { // which has the image
			inEvaluation(2)(s, r, func() { r.cancel() })
		}
	})
	at := loadCheckpoint(t, dir, "last").Manifest
	for rank, m := range members {
		if !errors.Is(m.err, ErrStopped) || at.Epoch != 1 || at.Batch != 4 {
			t.Errorf("rank %d: %v, saved in epoch %d at batch %d", rank, m.err, at.Epoch+1, at.Batch)
		}
	}
	if at.Sums.Images != 32 {
		t.Errorf("%d images are in the epoch's sums, want 32", at.Sums.Images)
	}
}

// nanShares spoils the shares of mixed labels that a rank writes for some of its steps, from 1 on.
type nanShares struct {
	backend.Backend
	steps []int
	step  *int
}

type nanExecutable struct {
	backend.Executable
	nanShares
	share *graph.Value
}

func (b nanShares) Compile(p *graph.Program) (backend.Executable, error) {
	exe, err := b.Backend.Compile(p)
	return nanExecutable{exe, b, p.Share}, err
}

func (e nanExecutable) Write(v *graph.Value, x *tensor.Dense) error {
	if v == e.share && v != nil {
		*e.step++
		if slices.Contains(e.steps, *e.step) {
			x = tensor.New(tensor.WithShape(x.Shape()...), tensor.WithBacking(slices.Repeat([]float32{float32(math.NaN())}, x.Size())))
		}
	}
	return e.Executable.Write(v, x)
}

// TestABadStepOfOneRankIsOneOfAll: skipped by all, and after ten in a row the end of all, which names the rank.
func TestABadStepOfOneRankIsOneOfAll(t *testing.T) {
	mixed := []string{"data.augment.mix.mixup_alpha=0.4"}
	for _, accumulate := range []string{"train.accumulate=1", "train.accumulate=4"} {
		members := trainRanks(t, 2, t.TempDir(), append([]string{accumulate, "train.epochs=2"}, mixed...), func(rank int, s *Setup, _ *recorder) {
			s.Backend = nanShares{s.Backend, [][]int{nil, {2}}[rank], new(int)}
		})
		succeeded(t, members)
		for rank, m := range members {
			var bad []int
			for _, x := range m.steps {
				if math.IsNaN(x.Loss) {
					bad = append(bad, len(bad)+x.GlobalStep)
				}
			}
			if m.result.BadSteps != 1 || len(bad) != 1 {
				t.Errorf("%s: rank %d has %d bad steps: %v", accumulate, rank, m.result.BadSteps, bad)
			}
		}
	}
	all := make([]int, 40)
	for i := range all {
		all[i] = i + 1
	}
	members := trainRanks(t, 2, t.TempDir(), append([]string{"train.epochs=20"}, mixed...), func(rank int, s *Setup, _ *recorder) {
		s.Backend = nanShares{s.Backend, [][]int{nil, all}[rank], new(int)}
	})
	for rank, m := range members {
		if !errors.Is(m.err, ErrDiverged) || !strings.Contains(m.err.Error(), "on rank 1 ") {
			t.Errorf("rank %d: %v", rank, m.err)
		}
	}
}

// TestRanksThatDifferAreNamed: before anything is written.
func TestRanksThatDifferAreNamed(t *testing.T) {
	for name, c := range map[string]struct {
		change func(s *Setup)
		want   string
	}{
		"config": {func(s *Setup) { s.Config.Train.LR = 0.25 }, "train.lr"},
		"fact":   {func(s *Setup) { s.Facts = map[string]string{"images": "other ones"} }, "other ones"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "run")
			for rank, m := range trainRanks(t, 3, dir, []string{"train.batch_size=9"}, func(rank int, s *Setup, _ *recorder) {
				s.Facts = map[string]string{"images": "the ones"}
				if rank == 1 {
					c.change(s)
				}
			}) {
				if !errors.Is(m.err, dist.ErrDisagree) || !strings.Contains(m.err.Error(), "rank 1") || !strings.Contains(m.err.Error(), c.want) {
					t.Errorf("rank %d: %v", rank, m.err)
				}
			}
			if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the run's folder: %v", err)
			}
		})
	}
}

// TestWhatOneRankCannotDoNoneDoes: an error of the first rank, which alone looks at the folder, has the same kind on all.
func TestWhatOneRankCannotDoNoneDoes(t *testing.T) {
	dir := t.TempDir()
	succeeded(t, trainRanks(t, 2, dir, []string{"train.epochs=1"}, nil))
	for rank, m := range trainRanks(t, 2, dir, []string{"train.epochs=1"}, func(_ int, s *Setup, _ *recorder) { s.Resume = "" }) {
		if !errors.Is(m.err, ErrTaken) {
			t.Errorf("rank %d: %v", rank, m.err)
		}
	}
}

// TestUpdatesThatRanksCannotShare: what does not fit is a config error that says so.
func TestUpdatesThatRanksCannotShare(t *testing.T) {
	for _, c := range []struct {
		sets []string
		want string
	}{
		{[]string{"train.batch_size=9"}, "cannot be shared equally by 2 ranks"},
		{[]string{"train.accumulate=4", "train.batch_warmup.from=1", "train.batch_warmup.epochs=2"}, "1 batches make an update in epoch 1"},
	} {
		for rank, m := range trainRanks(t, 2, t.TempDir(), c.sets, nil) {
			if !errors.Is(m.err, config.ErrConfig) || !strings.Contains(m.err.Error(), c.want) {
				t.Errorf("rank %d: %v, want %s", rank, m.err, c.want)
			}
		}
	}
}
