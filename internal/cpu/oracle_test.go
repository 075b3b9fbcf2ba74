package cpu

import "math"

// Plain float64 definitions in logical order (N, C, H, W), written step by step and not by the fused algebra.

type dim struct{ n, c, h, w int }

func (d dim) hw() int    { return d.h * d.w }
func (d dim) elems() int { return d.n * d.c * d.hw() }

func (d dim) shape() []int { return []int{d.n, d.c, d.h, d.w} }

// apply calls f for each element with its channel and its image's channel.
func (d dim) each(f func(i, ch, nc int)) {
	for i := range d.elems() {
		f(i, i/d.hw()%d.c, i/d.hw())
	}
}

// normalised is x^ = (x - mean) / sqrt(var + eps) with batch statistics.
func (d dim) normalised(x []float64, eps float64) (xhat, mean, variance []float64) {
	mean, variance, xhat = make([]float64, d.c), make([]float64, d.c), make([]float64, len(x))
	m := float64(d.n * d.hw())
	d.each(func(i, ch, _ int) { mean[ch] += x[i] / m })
	d.each(func(i, ch, _ int) { variance[ch] += (x[i] - mean[ch]) * (x[i] - mean[ch]) / m })
	d.each(func(i, ch, _ int) { xhat[i] = (x[i] - mean[ch]) / math.Sqrt(variance[ch]+eps) })
	return xhat, mean, variance
}

// bnGrad is the chain rule through the normalisation: dx = (dxhat - mean(dxhat) - xhat mean(dxhat xhat)) / sqrt(var + eps).
func (d dim) bnGrad(du, x, gamma []float64, eps float64) (dx, dgamma, dbeta []float64) {
	xhat, _, variance := d.normalised(x, eps)
	dx, dgamma, dbeta = make([]float64, len(x)), make([]float64, d.c), make([]float64, d.c)
	d.each(func(i, ch, _ int) {
		dgamma[ch] += du[i] * xhat[i]
		dbeta[ch] += du[i]
	})
	m := float64(d.n * d.hw())
	d.each(func(i, ch, _ int) {
		dx[i] = gamma[ch] / math.Sqrt(variance[ch]+eps) * (du[i] - dbeta[ch]/m - xhat[i]*dgamma[ch]/m)
	})
	return dx, dgamma, dbeta
}

// fc is out (n, o) = x (n, i) w' + b.
func fc(n, in, out int, x, w, b []float64) []float64 {
	y := make([]float64, n*out)
	for a := range n {
		for o := range out {
			s := 0.0
			if b != nil {
				s = b[o]
			}
			for i := range in {
				s += x[a*in+i] * w[o*in+i]
			}
			y[a*out+o] = s
		}
	}
	return y
}

// fcGrad is the gradient of fc.
func fcGrad(n, in, out int, dy, x, w []float64) (dx, dw, db []float64) {
	dx, dw, db = make([]float64, n*in), make([]float64, out*in), make([]float64, out)
	for a := range n {
		for o := range out {
			g := dy[a*out+o]
			db[o] += g
			for i := range in {
				dx[a*in+i] += g * w[o*in+i]
				dw[o*in+i] += g * x[a*in+i]
			}
		}
	}
	return dx, dw, db
}

func sigmoidOf(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// tailOracle holds the inputs of a block tail and everything its forward pass computes.
type tailOracle struct {
	dim
	r                               int
	relu, projection                bool
	eps                             float64
	y, gamma, beta                  []float64
	w1, b1, w2, b2                  []float64 // w1 nil: no SE; biases may be nil
	x, xgamma, xbeta                []float64 // x nil: no shortcut
	u, v, out                       []float64 // normalised, shortcut as added, result
	mean, variance, xmean, xvar     []float64
	image, z, hidden, gate          []float64
	dy, dgamma, dbeta, dx, dxg, dxb []float64
	dw1, db1, dw2, db2              []float64
}

func (t *tailOracle) affine(xhat, gamma, beta []float64) []float64 {
	u := make([]float64, len(xhat))
	t.each(func(i, ch, _ int) { u[i] = gamma[ch]*xhat[i] + beta[ch] })
	return u
}

func (t *tailOracle) forward() {
	xhat, mean, variance := t.normalised(t.y, t.eps)
	t.mean, t.variance, t.u = mean, variance, t.affine(xhat, t.gamma, t.beta)
	t.out = append([]float64(nil), t.u...)
	if t.w1 != nil {
		t.image, t.z = make([]float64, t.n*t.c), make([]float64, t.n*t.c)
		t.each(func(i, _, nc int) {
			t.image[nc] += t.y[i] / float64(t.hw())
			t.z[nc] += t.u[i] / float64(t.hw())
		})
		t.hidden = fc(t.n, t.c, t.r, t.z, t.w1, t.b1)
		for i, h := range t.hidden {
			t.hidden[i] = max(h, 0)
		}
		t.gate = fc(t.n, t.r, t.c, t.hidden, t.w2, t.b2)
		for i, g := range t.gate {
			t.gate[i] = sigmoidOf(g)
		}
		t.each(func(i, _, nc int) { t.out[i] *= t.gate[nc] })
	}
	t.v = t.x
	if t.projection {
		xhat, t.xmean, t.xvar = t.normalised(t.x, t.eps)
		t.v = t.affine(xhat, t.xgamma, t.xbeta)
	}
	for i := range t.out {
		if t.v != nil {
			t.out[i] += t.v[i]
		}
		if t.relu {
			t.out[i] = max(t.out[i], 0)
		}
	}
}

func (t *tailOracle) backward(dout []float64) {
	g := append([]float64(nil), dout...)
	for i := range g {
		if t.relu && !(t.out[i] > 0) {
			g[i] = 0
		}
	}
	du := append([]float64(nil), g...)
	if t.w1 != nil {
		dgate := make([]float64, t.n*t.c)
		t.each(func(i, _, nc int) { dgate[nc] += g[i] * t.u[i] })
		for i, s := range t.gate {
			dgate[i] *= s * (1 - s)
		}
		var dh, dz []float64
		dh, t.dw2, t.db2 = fcGrad(t.n, t.r, t.c, dgate, t.hidden, t.w2)
		for i := range dh {
			if t.hidden[i] <= 0 {
				dh[i] = 0
			}
		}
		dz, t.dw1, t.db1 = fcGrad(t.n, t.c, t.r, dh, t.z, t.w1)
		t.each(func(i, _, nc int) { du[i] = g[i]*t.gate[nc] + dz[nc]/float64(t.hw()) })
	}
	t.dy, t.dgamma, t.dbeta = t.bnGrad(du, t.y, t.gamma, t.eps)
	t.dx = g
	if t.projection {
		t.dx, t.dxg, t.dxb = t.bnGrad(g, t.x, t.xgamma, t.eps)
	}
}

// maskable clears the gradients where the output is so near 0 that float32 may round it to the other side.
func (t *tailOracle) maskable(gradients ...[]float64) {
	for i, v := range t.out {
		for _, g := range gradients {
			if t.relu && v > 0 && v < 1e-4 && g != nil {
				g[i] = 0
			}
		}
	}
}
