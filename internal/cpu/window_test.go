package cpu

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"senet/internal/backend"
	"senet/internal/graph"
)

// windows are pooling and squeeze geometries: kernel, stride, pad, sizes smaller than the kernel included.
var windows = []struct {
	d                   dim
	kernel, stride, pad int
	k                   int // outputs of the squeeze
	ceil                bool
}{
	{dim{2, 3, 7, 5}, 3, 2, 1, 4, false},
	{dim{1, 17, 8, 9}, 3, 2, 0, 3, true},
	{dim{3, 64, 6, 6}, 2, 2, 0, 6, false},
	{dim{1, 5, 3, 4}, 3, 1, 1, 5, false},
	{dim{2, 33, 1, 1}, 3, 1, 1, 6, false},
	{dim{2, 8, 2, 3}, 5, 1, 2, 7, false},
	{dim{1, 16, 28, 30}, 3, 1, 1, 16, false},
	{dim{2, 40, 15, 14}, 7, 2, 3, 9, true},
	{dim{2, 32, 9, 9}, 1, 1, 0, 40, false},
	{dim{2, 6, 9, 9}, 1, 2, 0, 5, false},
	{dim{1, 4, 5, 6}, 2, 3, 1, 3, false},
	{dim{3, 48, 30, 20}, 1, 1, 0, 10, false},
}

func outSize(n, kernel, stride, pad int, ceil bool) int {
	out := (n+2*pad-kernel)/stride + 1
	if ceil && (n+2*pad-kernel)%stride != 0 && out*stride < n+pad {
		out++
	}
	return out
}

func TestMaxPool(t *testing.T) {
	onEach(t, func(t *testing.T, b backend.Backend) {
		for _, w := range windows {
			if w.pad >= w.kernel {
				continue
			}
			t.Run(fmt.Sprint(w), func(t *testing.T) {
				f, d := newFixture(), w.d
				p, q := outSize(d.h, w.kernel, w.stride, w.pad, w.ceil), outSize(d.w, w.kernel, w.stride, w.pad, w.ceil)
				x := f.normal(d.elems(), -1, 1)
				for i := range x {
					x[i] = math.Round(x[i]) // ties
				}
				n := d.n * d.c * p * q
				y, position, dy, dx := make([]float64, n), make([]uint8, n), f.normal(n, 0, 1), make([]float64, d.elems())
				for i := range n {
					nc, row, column := i/(p*q), i/q%p*w.stride-w.pad, i%q*w.stride-w.pad
					best, at := math.Inf(-1), 0
					for r := range w.kernel {
						for s := range w.kernel {
							if row+r < 0 || row+r >= d.h || column+s < 0 || column+s >= d.w {
								continue
							}
							if from := (nc*d.h+row+r)*d.w + column + s; x[from] > best {
								best, at, position[i] = x[from], from, uint8(r*w.kernel+s)
							}
						}
					}
					y[i] = best
					dx[at] += dy[i]
				}
				shape := []int{d.n, d.c, p, q}
				out, at, din := f.out(shape...), f.out(shape...), f.out(d.shape()...)
				at.DType = graph.Uint8
				attr := graph.PoolAttr{Kernel: w.kernel, Stride: w.stride, Pad: w.pad, Ceil: w.ceil}
				f.node(graph.MaxPool, attr, []*graph.Value{f.value(x, d.shape()...)}, []*graph.Value{out, at})
				f.node(graph.MaxPoolGrad, attr, []*graph.Value{f.value(dy, shape...), at}, []*graph.Value{din})
				read := f.run(t, b)
				near(t, "y", read(out), y, 0)
				near(t, "dx", read(din), dx, 1e-6)
				if got := read(at).Data().([]uint8); !slices.Equal(got, position) {
					t.Errorf("positions %v, want %v", got, position)
				}
			})
		}
	})
}

func TestEarlySqueeze(t *testing.T) {
	onEach(t, func(t *testing.T, b backend.Backend) {
		for _, w := range windows {
			t.Run(fmt.Sprint(w), func(t *testing.T) {
				f, d := newFixture(), w.d
				p, q := outSize(d.h, w.kernel, w.stride, w.pad, false), outSize(d.w, w.kernel, w.stride, w.pad, false)
				x, weight, bias := f.normal(d.elems(), 0.3, 1), f.normal(w.k*d.c*w.kernel*w.kernel, 0, 1), f.normal(w.k, 0, 1)
				want := make([]float64, d.n*w.k)
				for i := range d.n {
					for k := range w.k {
						total := 0.0
						for j := range d.c * w.kernel * w.kernel {
							ch, r, s := j/(w.kernel*w.kernel), j/w.kernel%w.kernel, j%w.kernel
							for o := range p * q {
								row, column := o/q*w.stride-w.pad+r, o%q*w.stride-w.pad+s
								if row >= 0 && row < d.h && column >= 0 && column < d.w {
									total += weight[k*d.c*w.kernel*w.kernel+j] * x[((i*d.c+ch)*d.h+row)*d.w+column]
								}
							}
						}
						want[i*w.k+k] = total/float64(p*q) + bias[k]
					}
				}
				out := f.out(d.n, w.k)
				in := []*graph.Value{f.value(x, d.shape()...), f.value(weight, w.k, d.c, w.kernel, w.kernel), f.value(bias, w.k)}
				f.node(graph.EarlySqueeze, graph.EarlySqueezeAttr{Stride: w.stride, Pad: w.pad}, in, []*graph.Value{out})
				near(t, "squeeze", f.run(t, b)(out), want, 1e-5)
			})
		}
	})
}

func TestLoss(t *testing.T) {
	onEach(t, func(t *testing.T, b backend.Backend) {
		for _, k := range []int{2, 10, 37, 1000} {
			for _, smoothing := range []float64{0, 0.1} {
				f := newFixture()
				const n = 9
				x, labels := f.normal(n*k, 0, 4), make([]int32, n)
				probabilities, dx, loss, counted := make([]float64, n*k), make([]float64, n*k), 0.0, []int32{0, 0, 0}
				for i := range labels {
					labels[i] = int32(f.r.IntN(k))
					if i%4 == 3 {
						labels[i] = -1
					}
				}
				for i := range n {
					row, sum, before := x[i*k:(i+1)*k], 0.0, 0
					for _, v := range row {
						sum += math.Exp(v)
					}
					for j, v := range row {
						probabilities[i*k+j] = math.Exp(v) / sum
						target := smoothing / float64(k)
						if j == int(labels[i]) {
							target += 1 - smoothing
						}
						if labels[i] >= 0 {
							loss -= target * math.Log(probabilities[i*k+j]) / 7
							dx[i*k+j] = (probabilities[i*k+j] - target) / 7
							if v > row[labels[i]] {
								before++
							}
						}
					}
					if labels[i] >= 0 {
						for j, below := range []int{math.MaxInt, 1, 5} {
							if before < below {
								counted[j]++
							}
						}
					}
				}
				logits, label := f.value(x, n, k), f.typed(labels, graph.Int32, n)
				outs := []*graph.Value{f.out(1), f.out(n, k)}
				dlogits, correct := f.out(n, k), f.out(3)
				correct.DType = graph.Int32
				attr := graph.LossAttr{Smoothing: float32(smoothing)}
				f.node(graph.SoftmaxCrossEntropy, attr, []*graph.Value{logits, label, nil, nil}, outs)
				f.node(graph.SoftmaxCrossEntropyGrad, attr, []*graph.Value{outs[1], label, nil, nil, nil}, []*graph.Value{dlogits})
				f.node(graph.Accuracy, nil, []*graph.Value{logits, label}, []*graph.Value{correct})
				read := f.run(t, b)
				near(t, "loss", read(outs[0]), []float64{loss}, 1e-6)
				near(t, "probabilities", read(outs[1]), probabilities, 1e-6)
				near(t, "dlogits", read(dlogits), dx, 1e-6)
				if got := read(correct).Data().([]int32); !slices.Equal(got, counted) {
					t.Errorf("correct %v, want %v", got, counted)
				}
			}
		}
	})
}
