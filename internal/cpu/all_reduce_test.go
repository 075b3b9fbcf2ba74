package cpu

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"senet/internal/backend"
	"senet/internal/backend/backendtest"
	"senet/internal/graph"
)

// wire is one of two ranks, whose other gives zeros; it records what is asked of it.
type wire struct {
	events []string
	delay  time.Duration // of each wait
	fails  int           // number of the wait that fails, from 1
}

func (w *wire) Ranks() int { return 2 }

func (w *wire) Sum(x []float32) func() error {
	i := w.count("start") + 1
	w.events = append(w.events, fmt.Sprint("start ", i))
	return func() error {
		w.events = append(w.events, fmt.Sprint("wait ", i))
		time.Sleep(w.delay)
		if i == w.fails {
			return errors.New("connection reset")
		}
		return nil
	}
}

func (w *wire) count(what string) int {
	n := 0
	for _, e := range w.events {
		if strings.HasPrefix(e, what) {
			n++
		}
	}
	return n
}

// overlapping sums x (9) and its sigmoid (9), reads the second mean, then a third value's, and leaves the first to the host.
func overlapping() *graph.Program {
	p := &graph.Program{}
	activation := func() *graph.Value {
		v := operand(p, 9)
		v.Role = graph.Activation
		return v
	}
	node := func(op graph.Op, name string, attr any, in ...*graph.Value) *graph.Value {
		out := activation()
		p.Phases[graph.Step] = append(p.Phases[graph.Step], &graph.Node{Op: op, Name: name, Attr: attr, In: in, Out: []*graph.Value{out}})
		return out
	}
	x, two := operand(p, 9), graph.AllReduceAttr{Ranks: 2}
	first := node(graph.AllReduce, "first", two, x)
	y := node(graph.Sigmoid, "between", nil, x)
	second := node(graph.AllReduce, "second", two, y)
	z := node(graph.Sigmoid, "reader", nil, node(graph.Add, "again", nil, y, x))
	p.Kept = []*graph.Value{first, node(graph.Add, "end", nil, second, z)}
	return p
}

func onWire(t *testing.T, w *wire, p *graph.Program) backend.Executable {
	t.Helper()
	b := open(t, Options{Threads: 1, Collective: w})
	exe, err := b.Compile(p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := exe.Close(); err != nil {
			t.Error(err)
		}
	})
	return exe
}

// TestSumsTravelWhileNodesRun: a sum is waited for where it is first read, or at the phase's end.
func TestSumsTravelWhileNodesRun(t *testing.T) {
	w := &wire{}
	exe := onWire(t, w, overlapping())
	for range 2 {
		w.events = nil
		if err := exe.Run(graph.Step); err != nil {
			t.Fatal(err)
		}
		if want := []string{"start 1", "start 2", "wait 2", "wait 1"}; !slices.Equal(w.events, want) {
			t.Errorf("have %v, want %v", w.events, want)
		}
	}
}

// TestWaitingIsTheAllReducesTime, not that of the node that waits.
func TestWaitingIsTheAllReducesTime(t *testing.T) {
	w := &wire{delay: 20 * time.Millisecond}
	exe := onWire(t, w, overlapping())
	exe.(backend.Profiler).StartProfile()
	for range 2 {
		if err := exe.Run(graph.Step); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range exe.(backend.Profiler).Profile() {
		if n.Runs != 2 || n.Node.Op == graph.AllReduce && n.Total < 2*w.delay {
			t.Errorf("%s %q: %d runs, %v", n.Node.Op, n.Node.Name, n.Runs, n.Total)
		}
	}
}

// TestLostRank: the error says which node met it and that a rank is lost, and nothing is left on its way to memory that may be freed.
func TestLostRank(t *testing.T) {
	for fails, node := range map[int]string{1: `all_reduce "first"`, 2: `all_reduce "second"`} {
		w := &wire{fails: fails}
		err := onWire(t, w, overlapping()).Run(graph.Step)
		if !errors.Is(err, backend.ErrRankLost) || !strings.Contains(err.Error(), node) || !strings.Contains(err.Error(), "connection reset") {
			t.Errorf("sum %d fails: %v", fails, err)
		}
		if w.count("start") != 2 || w.count("wait") != 2 {
			t.Errorf("sum %d fails: %v", fails, w.events)
		}
	}
	w := &wire{fails: 2}
	p := tailProgram(2, 4, 3, 3, 0, false)
	p.Phases[graph.Step][0].Attr = graph.BNSEAddReLUAttr{Eps: 1e-5, Sync: 2}
	if err := onWire(t, w, p).Run(graph.Step); !errors.Is(err, backend.ErrRankLost) || !strings.Contains(err.Error(), "bn_se_add_relu") {
		t.Errorf("a synchronised batch norm: %v", err)
	}
}

// TestFingerprint: the same program has the same; what is summed and how a weight lies changes it.
func TestFingerprint(t *testing.T) {
	options := graph.TrainingOptions{Ranks: 2}
	fingerprint := func(o graph.TrainingOptions, change func(e *executable)) string {
		b := open(t, Options{Threads: 1, Collective: backendtest.Collectives(2)[0]})
		exe, err := b.Compile(ranked(t, o))
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := exe.Close(); err != nil {
				t.Error(err)
			}
		}()
		change(exe.(*executable))
		return exe.(backend.Fingerprinter).Fingerprint()
	}
	same := func(*executable) {}
	plain := func(e *executable) {
		for _, w := range e.weights {
			w.layout = w.plainLayout
		}
	}
	want := fingerprint(options, same)
	if len(want) != 16 || fingerprint(options, same) != want {
		t.Errorf("two fingerprints of one program differ: %q", want)
	}
	if fingerprint(options, plain) == want {
		t.Errorf("weights in another layout have the same fingerprint")
	}
	options.Accumulate = true
	if fingerprint(options, same) == want {
		t.Errorf("another program has the same fingerprint")
	}
}

// ranked is the training program of a convolution that oneDNN lays in blocks.
func ranked(t *testing.T, o graph.TrainingOptions) *graph.Program {
	t.Helper()
	g := graph.New()
	image, labels := g.Input("image", graph.Shape{2, 8, 8, 3}, graph.Uint8), g.Input("labels", graph.Shape{2}, graph.Int32)
	x := g.Normalize("normalize", image, make([]float32, 3), []float32{1, 1, 1})
	x = g.Conv("conv", x, g.Param("conv.weight", graph.Shape{32, 3, 3, 3}, graph.Kaiming()), nil, graph.ConvAttr{Stride: 1, Pad: 1, Groups: 1})
	logits := g.Linear("fc", g.GlobalAvgPool("pool", x), g.Param("fc.weight", graph.Shape{4, 32}, graph.Kaiming()), nil)
	loss := g.SoftmaxCrossEntropy("loss", logits, graph.Targets{Labels: labels}, graph.LossAttr{})
	p, err := graph.Training(g, graph.Ends{Image: image, Labels: labels, Logits: logits, Loss: loss}, o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}
