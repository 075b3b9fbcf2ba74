package ref_test

import (
	"errors"
	"math"
	"strings"
	"testing"

	"gorgonia.org/tensor"

	"senet/internal/backend"
	"senet/internal/graph"
	"senet/internal/ref"
)

// twin is one of two ranks, whose other sends the same; or err is what became of it.
type twin struct{ err error }

func (twin) Ranks() int { return 2 }

func (c twin) Sum(x []float32) func() error {
	for i := range x {
		x[i] *= 2
	}
	return func() error { return c.err }
}

// reduce is an all_reduce of x with a twin.
func reduce(t *testing.T, c twin, half bool, x []float32) ([]float32, error) {
	t.Helper()
	v := &graph.Value{Name: "x", Shape: graph.Shape{len(x)}, Role: graph.State}
	p := &graph.Program{Values: []*graph.Value{v}}
	p.Phases[graph.Step] = []*graph.Node{{
		Op: graph.AllReduce, Name: "gradients 0", Attr: graph.AllReduceAttr{Ranks: 2, Half: half}, In: []*graph.Value{v}, Out: []*graph.Value{v},
	}}
	exe, err := ref.NewRanked(c).Compile(p)
	if err != nil {
		t.Fatal(err)
	}
	if err := exe.Write(v, tensor.New(tensor.WithShape(len(x)), tensor.WithBacking(x))); err != nil {
		t.Fatal(err)
	}
	if err := exe.Run(graph.Step); err != nil {
		return nil, err
	}
	out, err := exe.Read(v)
	if err != nil {
		t.Fatal(err)
	}
	return out.Data().([]float32), nil
}

// TestHalfOnTheWire: with half the bits 7 fraction bits are left, rounded to nearest, ties to even.
func TestHalfOnTheWire(t *testing.T) {
	inf := float32(math.Inf(1))
	in := []float32{-3.5, 1 + 0x1p-8, 1 + 0x1p-8 + 0x1p-20, -1 - 0x3p-8, 0, inf, float32(nan), 1 + 0x1p-9}
	want := []float32{-3.5, 1, 1 + 0x1p-7, -1 - 0x1p-6, 0, inf, float32(nan), 1}
	for _, half := range []bool{false, true} {
		have, err := reduce(t, twin{}, half, append([]float32(nil), in...))
		if err != nil {
			t.Fatal(err)
		}
		expected := in
		if half {
			expected = want
		}
		for i, w := range expected {
			if have[i] != w && !(w != w && have[i] != have[i]) {
				t.Errorf("half %v: %v becomes %v, want %v", half, in[i], have[i], w)
			}
		}
	}
}

func TestLostRank(t *testing.T) {
	_, err := reduce(t, twin{errors.New("connection reset")}, false, []float32{1})
	if !errors.Is(err, backend.ErrRankLost) || !strings.Contains(err.Error(), `all_reduce "gradients 0"`) || !strings.Contains(err.Error(), "connection reset") {
		t.Errorf("have %v", err)
	}
}
