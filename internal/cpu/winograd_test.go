package cpu

import (
	"fmt"
	"slices"
	"testing"

	"senet/internal/backend"
	"senet/internal/graph"
	"senet/internal/ref"
)

// Winograd's algorithm gives the oracle's convolutions and gradients, and the number of threads changes no bit of them, be the threads
// each at chunks of their own (up to 128 channels) or all at one.
func TestWinogradBitwise(t *testing.T) {
	for _, s := range []struct{ n, c, h, w, k int }{{3, 33, 13, 14, 40}, {2, 130, 26, 19, 36}, {8, 20, 31, 28, 16}, {9, 34, 23, 25, 47}} {
		for _, avx2 := range []bool{false, true} {
			t.Run(fmt.Sprint(s, ",avx2=", avx2), func(t *testing.T) {
				x, weight, y := graph.Shape{s.n, s.c, s.h, s.w}, graph.Shape{s.k, s.c, 3, 3}, graph.Shape{s.n, s.k, s.h, s.w}
				attr := graph.ConvAttr{Stride: 1, Pad: 1, Groups: 1}
				if !winogradFits(convShape(x, weight, y, attr)) {
					t.Fatal("not by Winograd's algorithm")
				}
				var want [][]float32
				for _, threads := range []int{1, 2, 3} {
					f := newFixture()
					in, w := f.value(f.normal(x.Elems(), 0, 1), x...), f.value(f.normal(weight.Elems(), 0, 1), weight...)
					dy := f.value(f.normal(y.Elems(), 0, 1), y...)
					outs := []*graph.Value{f.out(y...), f.out(x...), f.out(weight...)}
					f.node(graph.Conv, attr, []*graph.Value{in, w, nil, nil, nil}, outs[:1])
					f.node(graph.ConvGradInput, attr, []*graph.Value{dy, w}, outs[1:2])
					f.node(graph.ConvGradWeight, attr, []*graph.Value{dy, in}, []*graph.Value{outs[2], nil})
					read := f.run(t, open(t, Options{Threads: threads, AVX2: avx2}))
					if !winogradGradWeightFits(convShape(x, weight, y, attr)) {
						outs = outs[:2]
					}
					have := make([][]float32, len(outs))
					for i, v := range outs {
						have[i] = slices.Clone(read(v).Data().([]float32))
					}
					if want == nil {
						want = have
						for _, v := range outs {
							near(t, v.Name, read(v), wanted(t, f, v), 1e-5)
						}
					}
					same(t, fmt.Sprint(threads, " threads"), have, want)
				}
			})
		}
	}
}

// What runs by Winograd's algorithm, and what is too small, too narrow or of another geometry.
func TestWinogradFits(t *testing.T) {
	for _, c := range []struct {
		x, weight graph.Shape
		attr      graph.ConvAttr
		want      bool
	}{
		{graph.Shape{16, 64, 56, 56}, graph.Shape{64, 64, 3, 3}, graph.ConvAttr{Stride: 1, Pad: 1, Groups: 1}, true},
		{graph.Shape{16, 512, 7, 7}, graph.Shape{512, 512, 3, 3}, graph.ConvAttr{Stride: 1, Pad: 1, Groups: 1}, true},
		{graph.Shape{1, 128, 28, 28}, graph.Shape{128, 128, 3, 3}, graph.ConvAttr{Stride: 1, Pad: 1, Groups: 1}, true},
		{graph.Shape{1, 256, 14, 14}, graph.Shape{256, 256, 3, 3}, graph.ConvAttr{Stride: 1, Pad: 1, Groups: 1}, false},
		{graph.Shape{128, 16, 28, 28}, graph.Shape{16, 16, 3, 3}, graph.ConvAttr{Stride: 1, Pad: 1, Groups: 1}, true},
		{graph.Shape{1, 16, 56, 56}, graph.Shape{16, 16, 3, 3}, graph.ConvAttr{Stride: 1, Pad: 1, Groups: 1}, false},
		{graph.Shape{128, 8, 28, 28}, graph.Shape{16, 8, 3, 3}, graph.ConvAttr{Stride: 1, Pad: 1, Groups: 1}, false},
		{graph.Shape{16, 64, 5, 5}, graph.Shape{64, 64, 3, 3}, graph.ConvAttr{Stride: 1, Pad: 1, Groups: 1}, false},
		{graph.Shape{16, 64, 56, 56}, graph.Shape{64, 32, 3, 3}, graph.ConvAttr{Stride: 1, Pad: 1, Groups: 2}, false},
		{graph.Shape{16, 64, 56, 56}, graph.Shape{64, 64, 3, 3}, graph.ConvAttr{Stride: 2, Pad: 1, Groups: 1}, false},
		{graph.Shape{16, 64, 56, 56}, graph.Shape{64, 64, 3, 3}, graph.ConvAttr{Stride: 1, Groups: 1}, false},
		{graph.Shape{16, 64, 56, 56}, graph.Shape{64, 64, 1, 1}, graph.ConvAttr{Stride: 1, Pad: 1, Groups: 1}, false},
	} {
		size := func(i int) int { return (c.x[i]+2*c.attr.Pad-c.weight[i])/c.attr.Stride + 1 }
		y := graph.Shape{c.x[0], c.weight[0], size(2), size(3)}
		if have := winogradFits(convShape(c.x, c.weight, y, c.attr)); have != c.want {
			t.Errorf("%v by %v, %+v: %v", c.x, c.weight, c.attr, have)
		}
	}
}

// TestOneImage: logits of one image are the oracle's, by convolutions that are oneDNN's and by our own.
func TestOneImage(t *testing.T) {
	for name, size := range map[string]int{"seresnet50": 64, "seresnet18": 32} {
		t.Run(name, func(t *testing.T) {
			_, p := network(t, name, 1, size, 3, false)
			oracle := start(t, ref.New(), p)
			defer func() { _ = oracle.Close() }()
			if err := oracle.Run(graph.Step); err != nil {
				t.Fatal(err)
			}
			want, err := oracle.Read(p.Logits)
			if err != nil {
				t.Fatal(err)
			}
			var logits []float64
			for _, x := range want.Data().([]float32) {
				logits = append(logits, float64(x))
			}
			onEach(t, func(t *testing.T, b backend.Backend) {
				exe := start(t, b, p)
				defer func() { _ = exe.Close() }()
				if err := exe.Run(graph.Step); err != nil {
					t.Fatal(err)
				}
				have, err := exe.Read(p.Logits)
				if err != nil {
					t.Fatal(err)
				}
				near(t, "logits", have, logits, 1e-4)
			})
		})
	}
}
