package cpu

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"senet/internal/backend"
	"senet/internal/graph"
)

// kernelCase builds one op over the map d and returns what to read and what to expect.
type kernelCase struct {
	name  string
	build func(f *fixture, d dim) (outs []*graph.Value, want [][]float64)
}

// pointwise is an op of one or two maps, element by element.
func pointwise(op graph.Op, operands int, formula func(a, b float64) float64) kernelCase {
	return kernelCase{string(op), func(f *fixture, d dim) ([]*graph.Value, [][]float64) {
		a, b, want := f.normal(d.elems(), 0, 3), f.normal(d.elems(), 0, 3), make([]float64, d.elems())
		for i := range want {
			want[i] = formula(a[i], b[i])
		}
		in, out := []*graph.Value{f.value(a, d.shape()...)}, f.out(d.shape()...)
		if operands == 2 {
			in = append(in, f.value(b, d.shape()...))
		}
		f.node(op, nil, in, []*graph.Value{out})
		return []*graph.Value{out}, [][]float64{want}
	}}
}

var kernelCases = []kernelCase{
	pointwise(graph.ReLU, 1, func(a, _ float64) float64 { return max(a, 0) }),
	pointwise(graph.Sigmoid, 1, func(a, _ float64) float64 { return sigmoidOf(a) }),
	pointwise(graph.Add, 2, func(a, b float64) float64 { return a + b }),
	pointwise(graph.SigmoidGrad, 2, func(a, b float64) float64 { return a * b * (1 - b) }),
	pointwise(graph.ReLUGrad, 2, func(a, b float64) float64 {
		if b > 0 {
			return a
		}
		return 0
	}),
	{"global_avg_pool", func(f *fixture, d dim) ([]*graph.Value, [][]float64) {
		x, want := f.normal(d.elems(), 0.5, 1), make([]float64, d.n*d.c)
		d.each(func(i, _, nc int) { want[nc] += x[i] / float64(d.hw()) })
		out := f.out(d.n, d.c)
		f.node(graph.GlobalAvgPool, nil, []*graph.Value{f.value(x, d.shape()...)}, []*graph.Value{out})
		return []*graph.Value{out}, [][]float64{want}
	}},
	{"global_avg_pool_grad", func(f *fixture, d dim) ([]*graph.Value, [][]float64) {
		dy, want := f.normal(d.n*d.c, 0, 1), make([]float64, d.elems())
		d.each(func(i, _, nc int) { want[i] = dy[nc] / float64(d.hw()) })
		out := f.out(d.shape()...)
		f.node(graph.GlobalAvgPoolGrad, nil, []*graph.Value{f.value(dy, d.n, d.c)}, []*graph.Value{out})
		return []*graph.Value{out}, [][]float64{want}
	}},
	{"scale", func(f *fixture, d dim) ([]*graph.Value, [][]float64) {
		x, gate, want := f.normal(d.elems(), 0, 1), f.normal(d.n*d.c, 0, 1), make([]float64, d.elems())
		d.each(func(i, _, nc int) { want[i] = x[i] * gate[nc] })
		out := f.out(d.shape()...)
		f.node(graph.Scale, nil, []*graph.Value{f.value(x, d.shape()...), f.value(gate, d.n, d.c)}, []*graph.Value{out})
		return []*graph.Value{out}, [][]float64{want}
	}},
	{"scale_grad", func(f *fixture, d dim) ([]*graph.Value, [][]float64) {
		dy, x, gate := f.normal(d.elems(), 0, 1), f.normal(d.elems(), 0, 1), f.normal(d.n*d.c, 0, 1)
		dx, dgate := make([]float64, d.elems()), make([]float64, d.n*d.c)
		d.each(func(i, _, nc int) {
			dx[i] = dy[i] * gate[nc]
			dgate[nc] += dy[i] * x[i]
		})
		outs := []*graph.Value{f.out(d.shape()...), f.out(d.n, d.c)}
		f.node(graph.ScaleGrad, nil, []*graph.Value{f.value(dy, d.shape()...), f.value(x, d.shape()...), f.value(gate, d.n, d.c)}, outs)
		return outs, [][]float64{dx, dgate}
	}},
	{"batch_norm", func(f *fixture, d dim) ([]*graph.Value, [][]float64) {
		o := tailCase{dim: d, mean: 3}.oracle(f)
		outs := []*graph.Value{f.out(d.shape()...), f.out(d.c), f.out(d.c)}
		f.node(graph.BatchNorm, graph.BatchNormAttr{Eps: 1e-5}, []*graph.Value{f.value(o.y, d.shape()...), f.value(o.gamma, d.c), f.value(o.beta, d.c), f.out(d.c), f.out(d.c)}, outs)
		return outs, [][]float64{o.out, o.mean, o.variance}
	}},
	{"batch_norm_grad", func(f *fixture, d dim) ([]*graph.Value, [][]float64) {
		o := tailCase{dim: d, mean: 3}.oracle(f)
		dy := f.normal(d.elems(), 0, 1)
		o.backward(dy)
		outs := []*graph.Value{f.out(d.shape()...), f.out(d.c), f.out(d.c)}
		in := []*graph.Value{f.value(dy, d.shape()...), f.value(o.y, d.shape()...), f.value(o.gamma, d.c), f.value(o.mean, d.c), f.value(o.variance, d.c)}
		f.node(graph.BatchNormGrad, graph.BatchNormAttr{Eps: 1e-5}, in, outs)
		return outs, [][]float64{o.dy, o.dgamma, o.dbeta}
	}},
	{"excitation", func(f *fixture, d dim) ([]*graph.Value, [][]float64) {
		r := d.h
		h, w2 := f.normal(d.n*r, 0, 1), f.normal(d.c*r, 0, 0.3)
		hidden := make([]float64, len(h))
		for i := range h {
			hidden[i] = max(h[i], 0)
		}
		want := fc(d.n, r, d.c, hidden, w2, nil)
		for i := range want {
			want[i] = sigmoidOf(want[i])
		}
		out := f.out(d.n, d.c)
		f.node(graph.Excitation, nil, []*graph.Value{f.value(h, d.n, r), f.value(w2, d.c, r, 1, 1), nil}, []*graph.Value{out})
		return []*graph.Value{out}, [][]float64{want}
	}},
	{"normalize", func(f *fixture, d dim) ([]*graph.Value, [][]float64) {
		pixels, want := make([]uint8, d.elems()), make([]float64, d.elems())
		attr := graph.NormalizeAttr{}
		for ch := range d.c {
			attr.Mean, attr.Std = append(attr.Mean, 0.4+0.01*float32(ch%9)), append(attr.Std, 0.2+0.01*float32(ch%7))
		}
		for i := range pixels {
			pixels[i] = uint8(f.r.IntN(256))
		}
		d.each(func(i, ch, nc int) {
			p := pixels[(nc/d.c*d.hw()+i%d.hw())*d.c+ch]
			want[i] = (float64(p)/255 - float64(attr.Mean[ch])) / float64(attr.Std[ch])
		})
		out := f.out(d.shape()...)
		f.node(graph.Normalize, attr, []*graph.Value{f.typed(pixels, graph.Uint8, d.n, d.h, d.w, d.c)}, []*graph.Value{out})
		return []*graph.Value{out}, [][]float64{want}
	}},
	{"running_stats", func(f *fixture, d dim) ([]*graph.Value, [][]float64) {
		mean, variance, rm, rv := f.normal(d.c, 0, 1), f.normal(d.c, 2, 0.2), f.normal(d.c, 0, 1), f.normal(d.c, 2, 0.2)
		outs := []*graph.Value{f.value(rm, d.c), f.value(rv, d.c)}
		wm, wv := slices.Clone(rm), slices.Clone(rv)
		for i := range mean {
			wm[i] += 0.1 * (mean[i] - rm[i])
			wv[i] += 0.1 * (variance[i]*12/11 - rv[i])
		}
		f.node(graph.RunningStats, graph.RunningStatsAttr{Momentum: 0.1, Count: 12}, []*graph.Value{f.value(mean, d.c), f.value(variance, d.c)}, outs)
		return outs, [][]float64{wm, wv}
	}},
	{"sgd", func(f *fixture, d dim) ([]*graph.Value, [][]float64) {
		in := []*graph.Value{f.value([]float64{0.125}, 1), nil, nil}
		var outs []*graph.Value
		var want [][]float64
		for _, decay := range []float64{0, 0.01} {
			p, m, g := f.normal(d.elems(), 0, 1), f.normal(d.elems(), 0, 1), f.normal(d.elems(), 0, 1)
			in = append(in, f.value(g, d.shape()...))
			outs = append(outs, f.value(p, d.shape()...), f.value(m, d.shape()...))
			wp, wm := slices.Clone(p), slices.Clone(m)
			for i := range p {
				step := g[i] + decay*p[i]
				wm[i] = 0.9*m[i] + step
				wp[i] -= 0.125 * (step + 0.9*wm[i])
			}
			want = append(want, wp, wm)
		}
		f.node(graph.SGD, graph.SGDAttr{Momentum: 0.9, WeightDecay: 0.01, Nesterov: true, Decay: []bool{false, true}}, in, outs)
		return outs, want
	}},
	{"global_norm", func(f *fixture, d dim) ([]*graph.Value, [][]float64) {
		a, b := f.normal(d.elems(), 0, 1), f.normal(40000, 0, 2)
		total := 0.0
		for _, x := range slices.Concat(a, b) {
			total += x * x
		}
		out := f.out(1)
		f.node(graph.GlobalNorm, nil, []*graph.Value{nil, f.value(a, d.shape()...), f.value(b, 40000)}, []*graph.Value{out})
		return []*graph.Value{out}, [][]float64{{math.Sqrt(total)}}
	}},
}

func TestKernels(t *testing.T) {
	onEach(t, func(t *testing.T, b backend.Backend) {
		for _, k := range kernelCases {
			for _, d := range mapDims {
				if d.n*d.hw() == 1 && (k.name == "batch_norm" || k.name == "batch_norm_grad") {
					continue // one value has no variance
				}
				t.Run(fmt.Sprint(k.name, d), func(t *testing.T) {
					f := newFixture()
					outs, want := k.build(f, d)
					read := f.run(t, b)
					for i, v := range outs {
						near(t, fmt.Sprintf("output %d", i), read(v), want[i], 1e-5)
					}
				})
			}
		}
	})
}
