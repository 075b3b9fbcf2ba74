package cpu

import (
	"fmt"
	"testing"

	"senet/internal/graph"
	"senet/internal/ref"
)

// wide are convolutions whose gradient of the weight is made by products: windows of one pixel, read where they lie or with a stride,
// and of 3x3, over the border on all sides; channels of parts of blocks, and of more blocks than a thread takes at a time.
var wide = []struct {
	n, c, h, w, k, r int
	attr             graph.ConvAttr
}{
	{4, 70, 28, 28, 96, 1, graph.ConvAttr{Stride: 1, Groups: 1}},
	{1, 600, 56, 57, 32, 1, graph.ConvAttr{Stride: 1, Groups: 1}},
	{16, 65, 27, 28, 32, 1, graph.ConvAttr{Stride: 2, Groups: 1}},
	{4, 72, 29, 27, 64, 3, graph.ConvAttr{Stride: 2, Pad: 1, Groups: 1}},
	{1, 208, 56, 56, 32, 3, graph.ConvAttr{Stride: 2, Pad: 1, Groups: 1}},
}

// Products give the oracle's gradient, and the number of threads changes no bit of it.
func TestProductGradWeight(t *testing.T) {
	for _, s := range wide {
		t.Run(fmt.Sprint(s), func(t *testing.T) {
			size := func(x int) int { return (x+2*s.attr.Pad-s.r)/s.attr.Stride + 1 }
			x, weight := graph.Shape{s.n, s.c, s.h, s.w}, graph.Shape{s.k, s.c, s.r, s.r}
			y := graph.Shape{s.n, s.k, size(s.h), size(s.w)}
			if !productsFit(convShape(x, weight, y, s.attr)) {
				t.Fatal("not by products")
			}
			f := newFixture()
			in, dy, dw := f.value(f.normal(x.Elems(), 0, 1), x...), f.value(f.normal(y.Elems(), 0, 1), y...), f.out(weight...)
			f.node(graph.ConvGradWeight, s.attr, []*graph.Value{dy, in}, []*graph.Value{dw, nil})
			want := wanted(t, f, dw)
			for _, avx2 := range []bool{false, true} {
				var first []float32
				for _, threads := range []int{1, 2, 3} {
					have := f.run(t, open(t, Options{Threads: threads, AVX2: avx2}))(dw)
					near(t, fmt.Sprintf("%d threads, avx2=%v", threads, avx2), have, want, 1e-5)
					if first == nil {
						first = have.Data().([]float32)
					}
					same(t, fmt.Sprint(threads, " threads"), [][]float32{have.Data().([]float32)}, [][]float32{first})
				}
			}
		})
	}
}

// wanted is what the oracle makes of v.
func wanted(t *testing.T, f *fixture, v *graph.Value) []float64 {
	t.Helper()
	want := make([]float64, v.Shape.Elems())
	for i, x := range f.run(t, ref.New())(v).Data().([]float32) {
		want[i] = float64(x)
	}
	return want
}

// What oneDNN does as fast or faster stays with it.
func TestProductsFit(t *testing.T) {
	one, half := graph.ConvAttr{Stride: 1, Groups: 1}, graph.ConvAttr{Stride: 2, Pad: 1, Groups: 1}
	for _, c := range []struct {
		n, c, hw, k, r int
		attr           graph.ConvAttr
		want           bool
	}{
		{16, 64, 56, 256, 1, one, true},
		{16, 512, 28, 256, 1, one, true},
		{16, 256, 14, 1024, 1, one, false},
		{1, 128, 28, 512, 1, one, false},
		{16, 64, 56, 72, 1, one, false},
		{16, 64, 56, 64, 1, graph.ConvAttr{Stride: 1, Groups: 2}, false},
		{16, 64, 56, 64, 1, graph.ConvAttr{Stride: 1, Pad: 1, Groups: 1}, false},
		{16, 128, 56, 128, 3, half, true},
		{16, 512, 14, 512, 3, half, true},
		{128, 16, 28, 32, 3, half, false},
		{16, 128, 56, 128, 3, graph.ConvAttr{Stride: 2, Groups: 1}, false},
		{16, 3, 224, 64, 7, graph.ConvAttr{Stride: 2, Pad: 3, Groups: 1}, false},
	} {
		size := (c.hw+2*c.attr.Pad-c.r)/c.attr.Stride + 1
		s := convShape(graph.Shape{c.n, c.c, c.hw, c.hw}, graph.Shape{c.k, c.c / c.attr.Groups, c.r, c.r}, graph.Shape{c.n, c.k, size, size}, c.attr)
		if have := productsFit(s); have != c.want {
			t.Errorf("%+v: %v", c, have)
		}
	}
}
