package cuda

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"gorgonia.org/tensor"

	"senet/internal/backend"
	"senet/internal/cuda/emu"
	"senet/internal/graph"
	"senet/internal/kernels"
)

// chain is the training on two ranks of convolutions with width x width weights, each with a batch norm, and a linear layer.
func chain(t *testing.T, layers, width int, sync bool) *graph.Program {
	t.Helper()
	g := graph.New()
	image, labels := g.Input("image", graph.Shape{2, 2, 2, width}, graph.Uint8), g.Input("labels", graph.Shape{2}, graph.Int32)
	x := g.Normalize("normalize", image, make([]float32, width), slices.Repeat([]float32{1}, width))
	c := graph.Shape{width}
	for i := range layers {
		name := fmt.Sprintf("%d.", i)
		x = g.Conv(name+"conv", x, g.Param(name+"conv.weight", graph.Shape{width, width, 1, 1}, graph.Kaiming()), nil, graph.ConvAttr{Stride: 1, Groups: 1})
		x = g.BatchNorm(name+"bn", x, g.Param(name+"bn.weight", c, graph.Ones()), g.Param(name+"bn.bias", c, graph.Zeros()),
			g.State(name+"bn.running_mean", c, graph.Zeros()), g.State(name+"bn.running_var", c, graph.Ones()), graph.BatchNormAttr{Eps: 1e-5, Momentum: 0.1})
	}
	logits := g.Linear("fc", g.GlobalAvgPool("pool", x), g.Param("fc.weight", graph.Shape{3, width}, graph.Kaiming()), g.Param("fc.bias", graph.Shape{3}, graph.Zeros()))
	loss := g.SoftmaxCrossEntropy("loss", logits, graph.Targets{Labels: labels}, graph.LossAttr{})
	ends := graph.Ends{Image: image, Labels: labels, Logits: logits, Loss: loss}
	p, err := graph.Training(g, ends, graph.TrainingOptions{Ranks: 2, SyncBN: sync})
	if err := errors.Join(g.Err(), err); err != nil {
		t.Fatal(err)
	}
	return p
}

// member is one rank of two in training.
type member struct {
	b    *Backend
	p    *graph.Program
	exe  *executable
	rank int
}

func newMember(b backend.Backend, p *graph.Program, rank int) (*member, error) {
	exe, err := b.Compile(p)
	if err != nil {
		return nil, err
	}
	m := &member{b.(*Backend), p, exe.(*executable), rank}
	random := rand.New(rand.NewPCG(3, uint64(rank)))
	pixels := make([]uint8, p.Image.Shape.Elems())
	for i := range pixels {
		pixels[i] = uint8(random.IntN(256))
	}
	one := func(v *graph.Value, x float32) error { return m.write(v, []float32{x}) }
	return m, errors.Join(backend.Initialize(exe, p, 1), m.write(p.Image, pixels), m.write(p.Labels, []int32{0, 2}), one(p.LearningRate, 0.01), one(p.Stop, 0))
}

func (m *member) write(v *graph.Value, data any) error {
	return m.exe.Write(v, tensor.New(tensor.WithShape(v.Shape...), tensor.WithBacking(data)))
}

// step returns the norm of the gradients' means.
func (m *member) step() (float64, error) {
	if err := m.exe.Run(graph.Step); err != nil {
		return 0, err
	}
	norm, err := m.exe.Read(m.p.GradNorm)
	if err != nil {
		return 0, err
	}
	return float64(norm.Data().([]float32)[0]), m.exe.Run(graph.Update)
}

// onRanks runs f on each of two ranks that train p, and closes them.
func onRanks(t *testing.T, p *graph.Program, precision kernels.Precision, f func(m *member) error) []error {
	t.Helper()
	bs, errs := openRanks(t, 2, precision), make([]error, 2)
	eachRank(2, func(rank int) {
		m, err := newMember(bs[rank], p, rank)
		if err == nil {
			err = errors.Join(f(m), m.exe.Close())
		}
		errs[rank] = err
	})
	return errs
}

// TestMissingWait: without the waits for its sums a training goes wrong in some order of streams that the emulator draws, issued
// directly or captured; with them all orders give the same bits on both ranks.
func TestMissingWait(t *testing.T) {
	if !emu.Running() {
		t.Skip("needs the emulator")
	}
	p := chain(t, 2, 5, true)
	var want []float64
	wrong := [3]bool{} // by step: the second and third are captured
	for seed := uint64(1); seed <= 6; seed++ {
		for _, spoilt := range []bool{false, true} {
			emu.Seed(seed)
			var norms [2][]float64
			errs := onRanks(t, p, kernels.Float32, func(m *member) error {
				if spoilt {
					waits := m.exe.awaited[graph.Step]
					last := len(waits) - 1
					m.exe.awaited[graph.Step] = make([][]int, len(waits))
					m.exe.awaited[graph.Step][last] = slices.Concat(waits...) // a capture ends behind all work
				}
				for range wrong {
					norm, err := m.step()
					if err != nil {
						return err
					}
					norms[m.rank] = append(norms[m.rank], norm)
				}
				return nil
			})
			if err := errors.Join(errs...); err != nil {
				t.Fatalf("seed %d, spoilt %v: %v", seed, spoilt, err)
			}
			if want == nil {
				want = norms[0]
			}
			for _, have := range norms {
				for i, norm := range have {
					wrong[i] = wrong[i] || spoilt && norm != want[i]
					if !spoilt && !(math.Abs(norm-want[i]) <= 0) {
						t.Errorf("seed %d: norm %d is %v, with another seed or on another rank %v", seed, i, norm, want[i])
					}
				}
			}
		}
	}
	if wrong != [3]bool{true, true, true} {
		t.Errorf("steps in which a missing wait shows: %v", wrong)
	}
}

// TestSumsTravelBesideTheBackwardPass: in the graph that is captured of a step, nothing on the compute stream waits for the first
// bucket of gradients before the backward pass is over.
func TestSumsTravelBesideTheBackwardPass(t *testing.T) {
	if !emu.Running() {
		t.Skip("needs the emulator")
	}
	p := chain(t, 2, 520, false) // a weight is a bucket
	var lines []string
	errs := onRanks(t, p, kernels.BFloat16, func(m *member) error {
		err := m.exe.Run(graph.Step)
		if m.rank == 1 {
			return errors.Join(err, m.exe.Run(graph.Step), m.exe.b.device.do(m.b.compute.sync))
		}
		err = errors.Join(err, m.b.device.do(m.b.compute.sync))
		lines = emu.Trace(func() { err = errors.Join(err, m.exe.Run(graph.Step)) })
		return err
	})
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	find := func(pattern string) []int {
		var all []int
		matcher := regexp.MustCompile(pattern)
		for i, line := range lines {
			if matcher.MatchString(line) {
				all = append(all, i)
			}
		}
		return all
	}
	sums, _, _ := strings.Cut(lines[find("captured all_reduce [0-9]")[0]], " ") // numbers of streams
	compute := lines[find("^" + sums + " .*waits for")[0]]
	compute = compute[strings.LastIndex(compute, " ")+1:]
	starts, waits := find("^"+sums+" captured all_reduce"), find("^"+compute+" captured waits for "+sums+"$")
	backward := find("^" + compute + " captured conv_grad_weight")
	if len(starts) != 2 || len(waits) == 0 || len(backward) < 2 {
		t.Fatalf("streams %q and %q: sums at %v, waits at %v, gradients of weights at %v of\n%s", sums, compute, starts, waits, backward, strings.Join(lines, "\n"))
	}
	last := backward[len(backward)-1]
	if !(starts[0] < last && waits[0] > last) {
		t.Errorf("the first sums start at %d and are waited for at %d, the backward pass ends at %d of\n%s", starts[0], waits[0], last, strings.Join(lines, "\n"))
	}
}

// TestProfileOfRanks: a rank that measures its nodes takes the same steps as one that does not.
func TestProfileOfRanks(t *testing.T) {
	if !emu.Running() {
		t.Skip("needs the emulator")
	}
	var norms [2]float64
	errs := onRanks(t, chain(t, 2, 5, true), kernels.Float32, func(m *member) (err error) {
		for i := range 4 {
			if m.rank == 0 && i == 1 {
				m.exe.StartProfile()
			}
			norm, stepped := m.step()
			norms[m.rank], err = norm, errors.Join(err, stepped)
		}
		return err
	})
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	if !(norms[0] == norms[1]) {
		t.Errorf("norms %v", norms)
	}
}

// TestLostRank: when a rank goes, the other finds out in a bounded time, in a step that is issued directly or captured, and closes.
func TestLostRank(t *testing.T) {
	if !emu.Running() {
		t.Skip("needs the emulator")
	}
	for steps := range 3 {
		for _, sync := range []bool{false, true} {
			t.Run(fmt.Sprintf("steps=%d,sync=%v", steps, sync), func(t *testing.T) {
				start, bs := time.Now(), openRanks(t, 2, kernels.Float32)
				p := chain(t, 1, 5, sync)
				errs := make([]error, 2)
				eachRank(2, func(rank int) {
					m, err := newMember(bs[rank], p, rank)
					for range steps {
						if err == nil {
							_, err = m.step()
						}
					}
					if rank == 0 && err == nil {
						_, err = m.step()
						_, again := m.exe.Read(p.Loss)
						if !errors.Is(again, backend.ErrRankLost) {
							err = fmt.Errorf("afterwards: %w", again)
						}
					}
					errs[rank] = err
					if err := errors.Join(m.exe.Close(), bs[rank].Close()); err != nil {
						t.Errorf("close rank %d: %v", rank, err)
					}
				})
				if !errors.Is(errs[0], backend.ErrRankLost) || errs[1] != nil {
					t.Errorf("errors %v", errs)
				}
				if took := time.Since(start); took > leaveLimit {
					t.Errorf("took %v", took)
				}
			})
		}
	}
}

// TestFailingCollectives: what NCCL answers reaches the caller, and the other rank does not wait for ever.
func TestFailingCollectives(t *testing.T) {
	if !emu.Running() {
		t.Skip("needs the emulator")
	}
	for _, c := range []struct {
		function string
		code     int
		text     string
		lost     bool // both ranks; else one fails for a reason of its own
	}{
		{"ncclAllReduce", 6, "remote process exited", true},
		{"ncclAllReduce", 4, "sum over ranks: invalid argument (4): emulated", false},
		{"ncclAllGather", 2, "unhandled system error", true},
		{"ncclCommGetAsyncError", 3, "reach the other ranks", true},
	} {
		t.Run(fmt.Sprint(c.function, c.code), func(t *testing.T) {
			p := chain(t, 1, 5, true)
			errs := onRanks(t, p, kernels.Float32, func(m *member) error {
				if m.rank == 0 {
					emu.FailAt(c.function, 1, c.code)
				}
				for {
					if _, err := m.step(); err != nil {
						return err
					}
				}
			})
			lost := 0
			for _, err := range errs {
				if errors.Is(err, backend.ErrRankLost) {
					lost++
				} else if c.lost {
					t.Errorf("error %v, want %v", err, backend.ErrRankLost)
				}
			}
			if lost == 0 || !strings.Contains(errors.Join(errs...).Error(), c.text) {
				t.Errorf("errors %v, want %q and %v", errs, c.text, backend.ErrRankLost)
			}
		})
	}
}

// TestJoin: a job that cannot come about says why.
func TestJoin(t *testing.T) {
	if !emu.Running() {
		t.Skip("needs the emulator")
	}
	emu.SetDevices(2)
	defer emu.SetDevices(1)
	join := func(device, rank int, id []byte) error {
		b, err := New(Options{Index: device, Rank: rank, Ranks: 2, UniqueID: id})
		if err == nil {
			err = errors.Join(errors.New("joined"), b.Close())
		}
		return err
	}
	if err := join(0, 0, []byte("short")); err == nil || !strings.Contains(err.Error(), "the job's id has 5 bytes, want 128") {
		t.Errorf("short id: %v", err)
	}
	id, err := NewUniqueID()
	if err != nil {
		t.Fatal(err)
	}
	if err := join(0, 2, id); err == nil || !strings.Contains(err.Error(), "rank 2 of 2: nccl: join the job: invalid argument (4)") {
		t.Errorf("rank 2 of 2: %v", err)
	}
	if id, err = NewUniqueID(); err != nil {
		t.Fatal(err)
	}
	errs := make([]error, 2)
	eachRank(2, func(rank int) { errs[rank] = join(1, rank, id) })
	for _, err := range errs {
		if err == nil || !strings.Contains(err.Error(), "invalid usage (5)") {
			t.Errorf("two ranks on one device: %v", err)
		}
	}
	emu.FailAt("ncclGetUniqueId", 1, 2)
	if id, err := NewUniqueID(); err == nil || id != nil {
		t.Errorf("id %v, error %v", id, err)
	}
}

// TestDescribesRank: the rank and what joins it are part of the description.
func TestDescribesRank(t *testing.T) {
	bs := openRanks(t, 2, kernels.BFloat16)
	version, problem := NCCL()
	if want := fmt.Sprintf(", rank 1 of 2 by NCCL %s", version); problem != "" || !strings.HasSuffix(bs[1].Describe(), want) {
		t.Errorf("%s, want %s; %s", bs[1].Describe(), want, problem)
	}
	if _, problem := ncclAt("libmissing.so.2"); !strings.Contains(problem, "NCCL 2, which joins GPUs, cannot be used: libmissing.so.2 was not found; install") {
		t.Error(problem)
	}
}
