package ref

import "senet/internal/graph"

// bnSEAddReLU is normalisation, squeeze, excitation, scale, addition and ReLU, one after the other.
func bnSEAddReLU(o operands) {
	in, out, a := o.in, o.out, o.node.Attr.(graph.BNSEAddReLUAttr)
	d := dimsOf(o.node.In[graph.TailY])
	y := in[graph.TailY]
	o.statistics(out[graph.TailMean], out[graph.TailVar], y, d)
	v := out[graph.TailOut]
	affine(v, y, out[graph.TailMean], out[graph.TailVar], in[graph.TailGamma], in[graph.TailBeta], float64(a.Eps), d)
	if in[graph.TailW1] != nil {
		squeeze(out[graph.TailImageMean], y, d)
		z := make([]float64, d.n*d.c)
		squeeze(z, v, d)
		gate := out[graph.TailGate]
		excite(gate, out[graph.TailHidden], z, in[graph.TailW1], in[graph.TailB1], in[graph.TailW2], in[graph.TailB2], d.n)
		d.each(func(i, _, pair int) { v[i] *= gate[pair] })
	}
	if shortcut := in[graph.TailShortcut]; shortcut != nil {
		if in[graph.TailShortcutGamma] != nil {
			shortcut = projectedShortcut(o, d)
		}
		for i := range v {
			v[i] += shortcut[i]
		}
	}
	if a.ReLU {
		for i := range v {
			v[i] = max(v[i], 0)
		}
	}
}

// projectedShortcut normalises the raw projection with its own statistics, which it leaves in the node's outputs.
func projectedShortcut(o operands, d dims) []float64 {
	x, mean, variance := o.in[graph.TailShortcut], o.out[graph.TailShortcutMean], o.out[graph.TailShortcutVar]
	eps := float64(o.node.Attr.(graph.BNSEAddReLUAttr).ShortcutEps)
	u := make([]float64, len(x))
	o.statistics(mean, variance, x, d)
	affine(u, x, mean, variance, o.in[graph.TailShortcutGamma], o.in[graph.TailShortcutBeta], eps, d)
	return u
}

// bnSEAddReLUGrad goes back through the steps of bnSEAddReLU, the last first.
func bnSEAddReLUGrad(o operands) {
	d := dimsOf(o.node.In[graph.TailGradIn+graph.TailY])
	a := o.node.Attr.(graph.BNSEAddReLUAttr)
	fwd, saved, grads := o.in[graph.TailGradIn:], o.in[graph.TailGradSaved:], o.out
	y, mean, variance, gamma := fwd[graph.TailY], saved[graph.TailMean], saved[graph.TailVar], fwd[graph.TailGamma]

	u := make([]float64, d.elems())
	affine(u, y, mean, variance, gamma, fwd[graph.TailBeta], float64(a.Eps), d)
	g := maskedGrad(o, u, d)
	if fwd[graph.TailShortcutGamma] != nil {
		o.affineGrad(
			grads[graph.TailShortcut], grads[graph.TailShortcutGamma], grads[graph.TailShortcutBeta],
			g, fwd[graph.TailShortcut], saved[graph.TailShortcutMean], saved[graph.TailShortcutVar],
			fwd[graph.TailShortcutGamma], float64(a.ShortcutEps), d,
		)
	} else {
		copy(grads[graph.TailShortcut], g)
	}
	du := g
	if fwd[graph.TailW1] != nil {
		du = seGrad(o, g, u, d)
	}
	o.affineGrad(grads[graph.TailY], grads[graph.TailGamma], grads[graph.TailBeta], du, y, mean, variance, gamma, float64(a.Eps), d)
}

// maskedGrad is dout, both addends, where the ReLU let the output pass; u is the normalised map.
func maskedGrad(o operands, u []float64, d dims) []float64 {
	dout, dout2, out := o.in[graph.TailGradDOut], o.in[graph.TailGradDOut2], o.in[graph.TailGradOut]
	gate := o.in[graph.TailGradSaved+graph.TailGate]
	relu := o.node.Attr.(graph.BNSEAddReLUAttr).ReLU
	g := make([]float64, d.elems())
	d.each(func(i, _, pair int) {
		before := u[i] // the ReLU's input, known without the output when there is no shortcut
		switch {
		case out != nil:
			before = out[i]
		case gate != nil:
			before = gate[pair] * u[i]
		}
		if relu && !(before > 0) {
			return
		}
		g[i] = dout[i]
		if dout2 != nil {
			g[i] += dout2[i]
		}
	})
	return g
}

// seGrad goes back through scale, sigmoid, both fully connected layers and the squeeze:
// from the gradient g of gate*u to that of u, writing the layers' gradients.
func seGrad(o operands, g, u []float64, d dims) []float64 {
	fwd, saved, grads := o.in[graph.TailGradIn:], o.in[graph.TailGradSaved:], o.out
	gate, hidden := saved[graph.TailGate], saved[graph.TailHidden]

	dgate := make([]float64, d.n*d.c)
	d.each(func(i, _, pair int) { dgate[pair] += g[i] * u[i] })
	for i, s := range gate {
		dgate[i] *= s * (1 - s) // now of the sigmoid's input
	}
	dhidden := make([]float64, len(hidden))
	fullyConnectedGrad(dhidden, grads[graph.TailW2], grads[graph.TailB2], dgate, hidden, fwd[graph.TailW2], d.n)
	for i, h := range hidden {
		if !(h > 0) {
			dhidden[i] = 0
		}
	}
	z, dz := make([]float64, d.n*d.c), make([]float64, d.n*d.c)
	squeeze(z, u, d)
	fullyConnectedGrad(dz, grads[graph.TailW1], grads[graph.TailB1], dhidden, z, fwd[graph.TailW1], d.n)

	du := make([]float64, len(u))
	d.each(func(i, _, pair int) { du[i] = g[i]*gate[pair] + dz[pair]/float64(d.hw) })
	return du
}
