package cpu

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"senet/internal/backend"
	"senet/internal/graph"
)

// trained runs forward and gradient of the case's tail and returns every map and vector they write.
func trained(t *testing.T, b backend.Backend, c tailCase, activations bool) [][]float32 {
	t.Helper()
	f := newFixture()
	o := c.oracle(f)
	fwd := forwardNode(f, o)
	grad := gradNode(f, o, fwd, f.normal(c.elems(), 0, 1), nil, false)
	outs := slices.Concat(fwd.Out, grad.Out)
	if activations {
		outs = f.throughArena(t, b, fwd, grad)
	}
	read := f.run(t, b)
	var all [][]float32
	for _, v := range outs {
		if v != nil {
			all = append(all, slices.Clone(read(v).Data().([]float32)))
		}
	}
	return all
}

// throughArena makes the maps y, shortcut, dout, dy and dshortcut activations: copied in and out by adding 0. It fails
// unless the memory plan lets the gradients overwrite what they may. It returns what to read instead.
func (f *fixture) throughArena(t *testing.T, b backend.Backend, fwd, grad *graph.Node) []*graph.Value {
	t.Helper()
	shape := fwd.Out[0].Shape
	zero := f.value(make([]float64, shape.Elems()), shape...)
	activation := func() *graph.Value {
		v := operand(f.p, shape...)
		v.Role = graph.Activation
		return v
	}
	in := func(v *graph.Value) *graph.Value {
		a := activation()
		f.p.Phases[graph.Step] = append([]*graph.Node{{Op: graph.Add, Name: "in", In: []*graph.Value{v, zero}, Out: []*graph.Value{a}}}, f.p.Phases[graph.Step]...)
		return a
	}
	outs := slices.Concat(fwd.Out, grad.Out)
	out := func(at int) *graph.Value {
		a, v := activation(), grad.Out[at]
		f.node(graph.Add, nil, []*graph.Value{a, zero}, []*graph.Value{v})
		grad.Out[at] = a
		return a
	}
	y, dout := in(fwd.In[graph.TailY]), in(grad.In[graph.TailGradDOut])
	fwd.In[graph.TailY], grad.In[graph.TailGradIn+graph.TailY], grad.In[graph.TailGradDOut] = y, y, dout
	pairs := [][2]*graph.Value{{y, out(graph.TailY)}}
	if fwd.In[graph.TailShortcut] != nil {
		over := dout
		if fwd.In[graph.TailShortcutGamma] != nil {
			over = in(fwd.In[graph.TailShortcut])
			fwd.In[graph.TailShortcut], grad.In[graph.TailGradIn+graph.TailShortcut] = over, over
		}
		pairs = append(pairs, [2]*graph.Value{over, out(graph.TailShortcut)})
	}
	exe, err := b.Compile(f.p)
	if err != nil {
		t.Fatal(err)
	}
	defer exe.Close()
	for _, p := range pairs {
		if offset := exe.Memory().Offset; offset[p[0].ID] != offset[p[1].ID] {
			t.Fatalf("the plan does not place %q over %q", p[1].Name, p[0].Name)
		}
	}
	return outs
}

func same(t *testing.T, what string, have, want [][]float32) {
	t.Helper()
	for i := range want {
		if !slices.Equal(have[i], want[i]) {
			t.Errorf("%s: result %d differs", what, i)
		}
	}
}

// The gradient overwrites its inputs where the memory plan lets it, and the number of threads changes no bit.
func TestTailBitwise(t *testing.T) {
	for _, avx2 := range []bool{false, true} {
		for _, c := range []tailCase{
			{dim: dim{2, 17, 13, 9}, relu: true},
			{dim: dim{3, 16, 28, 28}, r: 4, relu: true, shortcut: true},
			{dim: dim{1, 64, 30, 31}, r: 8, relu: true, shortcut: true, proj: true},
			{dim: dim{4, 40, 7, 7}, r: 5, shortcut: true},
			{dim: dim{16, 256, 4, 4}, r: 16, relu: true},
		} {
			t.Run(fmt.Sprint(c, ",avx2=", avx2), func(t *testing.T) {
				var want [][]float32
				for _, threads := range []int{1, 2, 3} {
					b, err := New(Options{Threads: threads, AVX2: avx2})
					if err != nil {
						t.Fatal(err)
					}
					t.Cleanup(func() { b.Close() })
					if want == nil {
						want = trained(t, b, c, false)
					}
					same(t, fmt.Sprint(threads, " threads"), trained(t, b, c, false), want)
					same(t, fmt.Sprint(threads, " threads, in place"), trained(t, b, c, true), want)
				}
			})
		}
	}
}

// Maps of 16 MiB and more are stored past the caches. A batch of copies has the statistics of its original, so a
// small oracle will do: maps repeat, gradients of gamma grow by the number of copies.
func TestLargeMaps(t *testing.T) {
	const copies = 33
	for _, avx2 := range []bool{false, true} {
		t.Run(fmt.Sprint("avx2=", avx2), func(t *testing.T) {
			b, err := New(Options{Threads: 2, AVX2: avx2})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { b.Close() })
			f := newFixture()
			c := tailCase{dim: dim{2, 64, 32, 32}, r: 4, relu: true, shortcut: true, proj: avx2}
			if c.elems()*copies < 4<<20 {
				t.Fatal("the map is not large")
			}
			o, dout := c.oracle(f), f.normal(c.elems(), 0.1, 1)
			o.maskable(dout)
			o.backward(dout)
			for i := range o.dgamma {
				o.dgamma[i] *= copies
			}
			o.n *= copies
			for _, m := range []*[]float64{&o.y, &o.x, &o.out, &o.dy, &o.dx, &dout} {
				*m = slices.Repeat(*m, copies)
			}
			fwd := forwardNode(f, o)
			grad := gradNode(f, o, fwd, dout, nil, false)
			read := f.run(t, b)
			near(t, "out", read(fwd.Out[graph.TailOut]), o.out, 1e-5)
			near(t, "dy", read(grad.Out[graph.TailY]), o.dy, 1e-4)
			near(t, "dshortcut", read(grad.Out[graph.TailShortcut]), o.dx, 1e-4)
			near(t, "dgamma", read(grad.Out[graph.TailGamma]), o.dgamma, 1e-4)
		})
	}
}

// The gradient of a pooling of 16 MiB and more, which is stored past the caches.
func TestLargePoolGrad(t *testing.T) {
	f := newFixture()
	attr := graph.PoolAttr{Kernel: 3, Stride: 2, Pad: 1}
	x, y := f.value(f.normal(16*513*512, 0, 1), 1, 16, 513, 512), f.out(1, 16, 257, 256)
	position := f.out(y.Shape...)
	position.DType = graph.Uint8
	dy, dx := f.value(f.normal(y.Shape.Elems(), 0, 1), y.Shape...), f.out(x.Shape...)
	f.node(graph.MaxPool, attr, []*graph.Value{x}, []*graph.Value{y, position})
	f.node(graph.MaxPoolGrad, attr, []*graph.Value{dy, position}, []*graph.Value{dx})
	want := wanted(t, f, dx)
	onEach(t, func(t *testing.T, b backend.Backend) { near(t, "dx", f.run(t, b)(dx), want, 1e-6) })
}

// A NaN is never hidden: it reaches the output, the loss or the norm, which the training loop checks.
func TestNaN(t *testing.T) {
	onEach(t, func(t *testing.T, b backend.Backend) {
		d := dim{2, 20, 5, 5}
		x := func(f *fixture) *graph.Value {
			data := f.normal(d.elems(), 0, 1)
			data[7] = math.NaN()
			return f.value(data, d.shape()...)
		}
		for _, c := range []struct {
			op   graph.Op
			attr any
			in   func(f *fixture) []*graph.Value
			out  []graph.Shape
		}{
			{graph.ReLU, nil, func(f *fixture) []*graph.Value { return []*graph.Value{x(f)} }, []graph.Shape{d.shape()}},
			{graph.Sigmoid, nil, func(f *fixture) []*graph.Value { return []*graph.Value{x(f)} }, []graph.Shape{d.shape()}},
			{graph.GlobalAvgPool, nil, func(f *fixture) []*graph.Value { return []*graph.Value{x(f)} }, []graph.Shape{{d.n, d.c}}},
			{graph.GlobalNorm, nil, func(f *fixture) []*graph.Value { return []*graph.Value{nil, x(f)} }, []graph.Shape{{1}}},
			{graph.MaxPool, graph.PoolAttr{Kernel: 2, Stride: 1}, func(f *fixture) []*graph.Value { return []*graph.Value{x(f)} }, []graph.Shape{{d.n, d.c, 4, 4}, nil}},
			{graph.SoftmaxCrossEntropy, graph.LossAttr{}, func(f *fixture) []*graph.Value {
				logits := f.normal(30, 0, 1)
				logits[14] = math.NaN()
				return []*graph.Value{f.value(logits, 3, 10), f.typed([]int32{1, 2, 3}, graph.Int32, 3), nil, nil}
			}, []graph.Shape{{1}, {3, 10}}},
			{graph.BNSEAddReLU, graph.BNSEAddReLUAttr{Eps: 1e-5, ReLU: true}, func(f *fixture) []*graph.Value {
				return []*graph.Value{x(f), f.value(f.normal(d.c, 1, 0.1), d.c), f.value(f.normal(d.c, 0, 1), d.c), nil, nil, nil, nil, nil, nil, nil}
			}, []graph.Shape{d.shape(), {d.c}, {d.c}, nil, nil, nil, nil, nil}},
		} {
			t.Run(string(c.op), func(t *testing.T) {
				f := newFixture()
				var outs []*graph.Value
				for _, s := range c.out {
					if s == nil {
						outs = append(outs, nil)
					} else {
						outs = append(outs, f.out(s...))
					}
				}
				f.node(c.op, c.attr, c.in(f), outs)
				read := f.run(t, b)
				for i, v := range outs {
					if v != nil && !slices.ContainsFunc(read(v).Data().([]float32), func(x float32) bool { return x != x }) {
						t.Errorf("output %d hides the NaN", i)
					}
				}
			})
		}
	})
}

// Without the forward's output the mask of a ReLU over a shortcut cannot be known: refused, not guessed.
func TestTailGradNeedsMask(t *testing.T) {
	b, err := New(Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	p := tailProgram(1, 4, 3, 3, 0, true)
	p.Phases[graph.Step][0].In[graph.TailGradOut] = nil
	if _, err := b.Compile(p); !errors.Is(err, backend.ErrUnsupported) {
		t.Errorf("compile: %v, want %v", err, backend.ErrUnsupported)
	}
}
