package bench

import (
	"context"
	"errors"
	"math"
	"testing"
	"time"

	"gorgonia.org/tensor"

	"senet/internal/backend"
	"senet/internal/cpu"
	"senet/internal/graph"
	"senet/internal/model"
	"senet/internal/ref"
)

func network(t *testing.T, name string) *model.Network {
	t.Helper()
	net, err := model.Build(name, model.Options{
		Batch: 4, Height: 8, Width: 8, Channels: 1, Mean: []float32{0.5}, Std: []float32{0.25}, Classes: 10, SE: model.SE{Reduction: 16}, Dropout: 0.1,
	})
	if err != nil {
		t.Fatal(err)
	}
	return net
}

// TestRun: each network gets its steps, in turn, with a profile of every node that a step runs.
func TestRun(t *testing.T) {
	b, err := cpu.New(cpu.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for _, train := range []bool{false, true} {
		now := time.Unix(0, 0)
		clock := func() time.Time { // 1 ms more at each reading
			now = now.Add(time.Millisecond)
			return now
		}
		rs, err := Run(t.Context(), b, []*model.Network{network(t, "seresnet20_cifar"), network(t, "resnet20_cifar")},
			Options{Train: train, LossScale: train, Steps: 3, Warmup: 1, Profile: true, Now: clock})
		if err != nil {
			t.Fatal(err)
		}
		if len(rs) != 2 || rs[0].Name != "seresnet20_cifar" || rs[1].Name != "resnet20_cifar" || rs[0].Batch != 4 {
			t.Fatalf("results %+v", rs)
		}
		for _, r := range rs {
			if len(r.Times) != 3 || r.Times[0] != time.Millisecond || r.Memory.Peak() <= 0 {
				t.Errorf("%s: times %v, memory %d", r.Name, r.Times, r.Memory.Peak())
			}
			if s := r.ImagesPerSecond(); s != (Spread{4000, 4000, 4000}) {
				t.Errorf("%s: %+v img/s, want 4000", r.Name, s)
			}
			runs := map[graph.Phase]int{}
			for _, n := range r.Nodes {
				runs[n.Phase] += n.Runs
				if n.Phase == graph.Step && n.Runs != 3 {
					t.Errorf("%s: %s ran %d times", r.Name, n.Node.Name, n.Runs)
				}
			}
			if (runs[graph.Update] > 0) != train || runs[graph.Step] == 0 {
				t.Errorf("%s: runs by phase %v, training: %v", r.Name, runs, train)
			}
		}
		if s := Ratio(rs[0], rs[1]); s != (Spread{1, 1, 1}) {
			t.Errorf("ratio %+v", s)
		}
	}
}

func TestRunErrors(t *testing.T) {
	nets := []*model.Network{network(t, "resnet20_cifar")}
	if _, err := Run(t.Context(), ref.New(), nets, Options{Steps: 1, Profile: true, Now: time.Now}); !errors.Is(err, ErrNoProfile) {
		t.Errorf("the oracle's profile: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Run(ctx, ref.New(), nets, Options{Steps: 1, Now: time.Now}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if _, err := Run(t.Context(), refusing{ref.New()}, nets, Options{Steps: 1, Now: time.Now}); !errors.Is(err, backend.ErrUnsupported) {
		t.Errorf("refused: %v", err)
	}
}

// refusing compiles nothing.
type refusing struct{ backend.Backend }

func (refusing) Compile(p *graph.Program) (backend.Executable, error) {
	return nil, backend.Unsupported("refusing", p.Nodes()[0])
}

// TestStepsWaitForTheDevice: each ends with a read of the loss, since Run may return before the device is done.
func TestStepsWaitForTheDevice(t *testing.T) {
	for _, train := range []bool{false, true} {
		b := &reading{Backend: ref.New()}
		if _, err := Run(t.Context(), b, []*model.Network{network(t, "resnet20_cifar")}, Options{Train: train, Steps: 1, Now: time.Now}); err != nil {
			t.Fatal(err)
		}
		if n := len(b.read); n != 1 || b.read[0] != "loss" {
			t.Errorf("training %v: read %q after a step", train, b.read)
		}
	}
}

// reading notes what is read after the last run.
type reading struct {
	backend.Backend
	read []string
}

func (b *reading) Compile(p *graph.Program) (backend.Executable, error) {
	exe, err := b.Backend.Compile(p)
	return readingExe{exe, b}, err
}

type readingExe struct {
	backend.Executable
	b *reading
}

func (e readingExe) Run(ph graph.Phase) error {
	e.b.read = nil
	return e.Executable.Run(ph)
}

func (e readingExe) Read(v *graph.Value) (*tensor.Dense, error) {
	e.b.read = append(e.b.read, v.Name)
	return e.Executable.Read(v)
}

func TestSpread(t *testing.T) {
	for _, c := range []struct {
		xs   []float64
		want Spread
	}{
		{[]float64{3}, Spread{3, 3, 3}}, {[]float64{4, 1}, Spread{1.75, 2.5, 3.25}}, {[]float64{5, 1, 4, 2, 3}, Spread{2, 3, 4}},
	} {
		got := spread(c.xs)
		for _, d := range []float64{got.Low - c.want.Low, got.Median - c.want.Median, got.High - c.want.High} {
			if !(math.Abs(d) < 1e-12) {
				t.Errorf("spread %+v, want %+v", got, c.want)
			}
		}
	}
}
