package cpu

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"gorgonia.org/tensor"

	"senet/internal/backend"
	"senet/internal/graph"
)

// fixture is a small program under construction with the data of its operands.
type fixture struct {
	p    *graph.Program
	r    *rand.Rand
	data map[*graph.Value]any
}

func newFixture() *fixture {
	return &fixture{&graph.Program{}, rand.New(rand.NewPCG(5, 6)), map[*graph.Value]any{}}
}

// normal draws n float32 values as float64, so that oracle and backend start from the same numbers.
func (f *fixture) normal(n int, mean, std float64) []float64 {
	x := make([]float64, n)
	for i := range x {
		x[i] = float64(float32(mean + std*f.r.NormFloat64()))
	}
	return x
}

// value declares a persistent operand and its data; nil data gives a nil operand.
func (f *fixture) value(data []float64, shape ...int) *graph.Value {
	if data == nil {
		return nil
	}
	v := operand(f.p, shape...)
	x := make([]float32, len(data))
	for i, d := range data {
		x[i] = float32(d)
	}
	f.data[v] = x
	return v
}

// typed declares a persistent operand of int32 or uint8 data.
func (f *fixture) typed(data any, d graph.DType, shape ...int) *graph.Value {
	v := operand(f.p, shape...)
	v.DType = d
	f.data[v] = data
	return v
}

func (f *fixture) out(shape ...int) *graph.Value { return operand(f.p, shape...) }

func (f *fixture) node(op graph.Op, attr any, in, out []*graph.Value) {
	f.p.Phases[graph.Step] = append(f.p.Phases[graph.Step], &graph.Node{Op: op, Name: string(op), Attr: attr, In: in, Out: out})
}

// run executes the program on b and returns a reader of its values.
func (f *fixture) run(t *testing.T, b backend.Backend) func(v *graph.Value) *tensor.Dense {
	t.Helper()
	exe, err := b.Compile(f.p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { exe.Close() })
	for v, data := range f.data {
		if err := exe.Write(v, tensor.New(tensor.WithShape(v.Shape...), tensor.WithBacking(data))); err != nil {
			t.Fatal(err)
		}
	}
	if err := exe.Run(graph.Step); err != nil {
		t.Fatal(err)
	}
	return func(v *graph.Value) *tensor.Dense {
		t.Helper()
		d, err := exe.Read(v)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
}

// near fails unless every |have - want| <= tolerance * max|want|.
func near(t *testing.T, what string, have *tensor.Dense, want []float64, tolerance float64) {
	t.Helper()
	got := have.Data().([]float32)
	if len(got) != len(want) {
		t.Fatalf("%s: have %d values, want %d", what, len(got), len(want))
	}
	largest, worst, at := 1e-6, 0.0, 0
	for _, w := range want {
		largest = max(largest, math.Abs(w))
	}
	for i, w := range want {
		err := math.Abs(float64(got[i])-w) / largest
		if !(err <= worst) {
			worst, at = err, i
		}
		if err != err {
			break
		}
	}
	if !(worst <= tolerance) {
		t.Errorf("%s: element %d is %g, want %g: relative error %.2g, allowed %.2g", what, at, got[at], want[at], worst, tolerance)
	}
}

// onEach runs f on both instruction sets, one with 1 thread and one with 2: that the number of threads changes
// nothing is TestTailBitwise's to show.
func onEach(t *testing.T, f func(t *testing.T, b backend.Backend)) {
	for _, o := range []Options{{Threads: 2}, {Threads: 1, AVX2: true}} {
		t.Run(fmt.Sprintf("threads=%d,avx2=%v", o.Threads, o.AVX2), func(t *testing.T) {
			b, err := New(o)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { b.Close() })
			f(t, b)
		})
	}
}

// dims that reach every path: odd channels, a part of a vector, several chunks an image, one pixel, wide rows.
var mapDims = []dim{{1, 1, 1, 1}, {3, 3, 7, 5}, {2, 17, 13, 9}, {1, 5, 1, 7}, {2, 16, 23, 23}, {1, 40, 23, 24}, {5, 33, 1, 1}, {2, 1030, 3, 2}, {3, 48, 5, 5}}
