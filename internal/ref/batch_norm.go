package ref

import (
	"math"

	"senet/internal/graph"
)

// statistics are the mean and biased variance (C) of each channel of x, in two passes. Over several ranks, with as many values on
// each, both are the ranks' means: of x, and of the squared deviations from the mean that all have in common.
func (o operands) statistics(mean, variance, x []float64, d dims) {
	clear(mean)
	clear(variance)
	m := d.perChannel()
	d.each(func(i, c, _ int) { mean[c] += x[i] / m })
	o.average(mean, nil)
	d.each(func(i, c, _ int) { variance[c] += (x[i] - mean[c]) * (x[i] - mean[c]) / m })
	o.average(variance, nil)
}

// affine is u = gamma (x - mean) / sqrt(var + eps) + beta.
func affine(u, x, mean, variance, gamma, beta []float64, eps float64, d dims) {
	d.each(func(i, c, _ int) {
		u[i] = gamma[c]*(x[i]-mean[c])/math.Sqrt(variance[c]+eps) + beta[c]
	})
}

// affineGrad is the chain rule through affine, whose mean and variance depend on x themselves
// (Ioffe and Szegedy 2015, section 3). dx, dgamma and dbeta may be nil.
//
// Over R ranks of m values each, mean and variance depend on the x of all of them. Rank r starts from its own loss L_r, the mean
// over its images, so its du is R times that of the whole batch's loss L = sum of L_r / R. All that follows is linear in du: with
// dmean and dvar, sums over the ranks, spread over the R m values, dx is R times L's as well, and so is this rank's part of
// dgamma and dbeta, sums over its own values. AllReduce takes the mean over ranks: 1/R sum of (R part) is L's gradient.
// A sum over the ranks spread over R m values is the ranks' mean spread over m.
func (o operands) affineGrad(dx, dgamma, dbeta, du, x, mean, variance, gamma []float64, eps float64, d dims) {
	sumDU, sumDUXHat := make([]float64, d.c), make([]float64, d.c)
	dvar, dmean := make([]float64, d.c), make([]float64, d.c)
	d.each(func(i, c, _ int) {
		std := math.Sqrt(variance[c] + eps)
		dxhat := du[i] * gamma[c]
		sumDU[c] += du[i]
		sumDUXHat[c] += du[i] * (x[i] - mean[c]) / std
		dvar[c] += dxhat * (x[i] - mean[c]) * -0.5 / (std * std * std)
		dmean[c] -= dxhat / std // the variance's own part vanishes: deviations from the mean sum to 0
	})
	o.average(dvar, nil)
	o.average(dmean, nil)
	if dx != nil {
		m := d.perChannel()
		d.each(func(i, c, _ int) {
			dx[i] = du[i]*gamma[c]/math.Sqrt(variance[c]+eps) + dvar[c]*2*(x[i]-mean[c])/m + dmean[c]/m
		})
	}
	copy(dgamma, sumDUXHat)
	copy(dbeta, sumDU)
}

func batchNorm(o operands) {
	x, gamma, beta, y, mean, variance := o.in[0], o.in[1], o.in[2], o.out[0], o.out[1], o.out[2]
	d := dimsOf(o.node.In[0])
	o.statistics(mean, variance, x, d)
	affine(y, x, mean, variance, gamma, beta, float64(o.node.Attr.(graph.BatchNormAttr).Eps), d)
}

func batchNormGrad(o operands) {
	dy, x, gamma, mean, variance := o.in[0], o.in[1], o.in[2], o.in[3], o.in[4]
	eps := float64(o.node.Attr.(graph.BatchNormAttr).Eps)
	o.affineGrad(o.out[0], o.out[1], o.out[2], dy, x, mean, variance, gamma, eps, dimsOf(o.node.In[1]))
}
