package ref

import (
	"math"

	"senet/internal/graph"
)

// window is the geometry of a convolution: x (N, C, H, W), w (K, C/groups, R, S), y (N, K, P, Q).
type window struct {
	n, c, h, w     int
	k, cg, r, s    int
	p, q           int
	stride, pad, g int
}

func windowOf(x, w, y graph.Shape, a graph.ConvAttr) window {
	return window{
		x[0], x[1], x[2], x[3],
		w[0], w[1], w[2], w[3],
		y[2], y[3],
		a.Stride, a.Pad, a.Groups,
	}
}

// rows calls f for every run of products along a row of the output: for j in [0, count) the
// output y+j, the input x+j*stride and the weight w belong together. Padding is left out.
func (d window) rows(f func(y, x, w, count int)) {
	for n := range d.n {
		for k := range d.k {
			for ci := range d.cg {
				c := k/(d.k/d.g)*d.cg + ci // groups split both the inputs and the outputs
				for r := range d.r {
					for s := range d.s {
						d.tap(n, k, ci, c, r, s, f)
					}
				}
			}
		}
	}
}

// tap calls f for the output rows that weight (k, ci, r, s) reaches in image n.
func (d window) tap(n, k, ci, c, r, s int, f func(y, x, w, count int)) {
	first, last := 0, d.q-1
	for first <= last && first*d.stride-d.pad+s < 0 {
		first++
	}
	for last >= first && last*d.stride-d.pad+s >= d.w {
		last--
	}
	if first > last {
		return
	}
	for p := range d.p {
		h := p*d.stride - d.pad + r
		if h < 0 || h >= d.h {
			continue
		}
		f(
			((n*d.k+k)*d.p+p)*d.q+first,
			((n*d.c+c)*d.h+h)*d.w+first*d.stride-d.pad+s,
			((k*d.cg+ci)*d.r+r)*d.s+s,
			last-first+1,
		)
	}
}

// convolve is y = conv(x, w) + bias; bias (K) may be nil.
func (d window) convolve(y, x, w, bias []float64) {
	for i := range y {
		y[i] = 0
		if bias != nil {
			y[i] = bias[i/(d.p*d.q)%d.k]
		}
	}
	d.rows(func(yi, xi, wi, count int) {
		for j := range count {
			y[yi+j] += x[xi+j*d.stride] * w[wi]
		}
	})
}

func conv(o operands) {
	in, y, a := o.node.In, o.out[0], o.node.Attr.(graph.ConvAttr)
	d := windowOf(in[0].Shape, in[1].Shape, o.node.Out[0].Shape, a)
	d.convolve(y, o.in[0], o.in[1], o.in[2])
	gate, residual := o.in[3], o.in[4] // (N, K), (N, K, P, Q)
	for i := range y {
		if gate != nil {
			y[i] *= gate[i/(d.p*d.q)]
		}
		if residual != nil {
			y[i] += residual[i]
		}
		if a.ReLU {
			y[i] = max(y[i], 0)
		}
	}
}

func convGradInput(o operands) {
	dy, w, dx := o.in[0], o.in[1], o.out[0]
	d := windowOf(o.node.Out[0].Shape, o.node.In[1].Shape, o.node.In[0].Shape, o.node.Attr.(graph.ConvAttr))
	clear(dx)
	d.rows(func(yi, xi, wi, count int) {
		for j := range count {
			dx[xi+j*d.stride] += dy[yi+j] * w[wi]
		}
	})
}

func convGradWeight(o operands) {
	dy, x, dw, db := o.in[0], o.in[1], o.out[0], o.out[1]
	d := windowOf(o.node.In[1].Shape, o.node.Out[0].Shape, o.node.In[0].Shape, o.node.Attr.(graph.ConvAttr))
	clear(dw)
	d.rows(func(yi, xi, wi, count int) {
		for j := range count {
			dw[wi] += dy[yi+j] * x[xi+j*d.stride]
		}
	})
	if db == nil {
		return
	}
	clear(db)
	for i, g := range dy {
		db[i/(d.p*d.q)%d.k] += g
	}
}

func foldBN(o operands) {
	w, gamma, beta, mean, variance := o.in[0], o.in[1], o.in[2], o.in[3], o.in[4]
	fw, fb := o.out[0], o.out[1]
	eps := float64(o.node.Attr.(graph.BatchNormAttr).Eps)
	perChannel := len(w) / len(gamma)
	for k := range gamma {
		a := gamma[k] / math.Sqrt(variance[k]+eps)
		for i := k * perChannel; i < (k+1)*perChannel; i++ {
			fw[i] = w[i] * a
		}
		fb[k] = beta[k] - mean[k]*a
	}
}

func foldSqueeze(o operands) {
	w, gamma, beta, mean, variance, w1, b1 := o.in[0], o.in[1], o.in[2], o.in[3], o.in[4], o.in[5], o.in[6]
	fw, fb := o.out[0], o.out[1]
	a, shape := o.node.Attr.(graph.FoldSqueezeAttr), o.node.In[0].Shape
	filters, perGroup := shape[0], shape[0]/a.Groups
	inputs := shape[1:].Elems() // of a filter, over its window
	for j := range fb {
		fb[j] = 0
		if b1 != nil {
			fb[j] = b1[j]
		}
		row := fw[j*inputs*a.Groups : (j+1)*inputs*a.Groups]
		clear(row)
		for k := range filters {
			r := gamma[k] / math.Sqrt(variance[k]+float64(a.Eps))
			fb[j] += w1[j*filters+k] * (beta[k] - mean[k]*r)
			for i := range inputs {
				row[k/perGroup*inputs+i] += w1[j*filters+k] * r * w[k*inputs+i]
			}
		}
	}
}

// earlySqueeze runs the whole convolution and averages it: the definition, not the shortcut.
func earlySqueeze(o operands) {
	x, w, a := o.node.In[0].Shape, o.node.In[1].Shape, o.node.Attr.(graph.EarlySqueezeAttr)
	p := (x[2]+2*a.Pad-w[2])/a.Stride + 1
	q := (x[3]+2*a.Pad-w[3])/a.Stride + 1
	y := make([]float64, x[0]*w[0]*p*q)
	windowOf(x, w, graph.Shape{x[0], w[0], p, q}, graph.ConvAttr{Stride: a.Stride, Pad: a.Pad, Groups: 1}).convolve(y, o.in[0], o.in[1], o.in[2])
	squeeze(o.out[0], y, dims{x[0], w[0], p * q})
}
