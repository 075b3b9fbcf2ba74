package ref

import (
	"math"

	"senet/internal/graph"
)

func globalNorm(o operands) {
	sum := 0.0
	for _, grad := range o.in[1:] {
		for _, g := range grad {
			sum += g * g
		}
	}
	o.out[0][0] = math.Sqrt(sum) / lossScale(o.in[0])
}

func runningStats(o operands) {
	mean, variance, runningMean, runningVar := o.in[0], o.in[1], o.out[0], o.out[1]
	a := o.node.Attr.(graph.RunningStatsAttr)
	momentum := float64(a.Momentum)
	unbias := float64(a.Count) / float64(max(a.Count-1, 1)) // one value has variance 0 either way
	for c := range mean {
		runningMean[c] += momentum * (mean[c] - runningMean[c])
		runningVar[c] += momentum * (variance[c]*unbias - runningVar[c])
	}
}

// gradientFactor is what an optimiser multiplies gradients by: the loss scale's inverse, and less where they are clipped.
func gradientFactor(o operands, clip float32) float64 {
	factor := 1 / lossScale(o.in[graph.UpdateScale])
	if norm := o.in[graph.UpdateNorm]; norm != nil {
		factor *= min(1, float64(clip)/(norm[0]+1e-6))
	}
	return factor
}

func sgd(o operands) {
	a := o.node.Attr.(graph.SGDAttr)
	lr, factor, mu := o.in[graph.UpdateRate][0], gradientFactor(o, a.Clip), float64(a.Momentum)
	for t, grad := range o.in[graph.UpdateGrads:] {
		param, momentum := o.out[2*t], o.out[2*t+1]
		decay := 0.0
		if a.Decay[t] {
			decay = float64(a.WeightDecay)
		}
		for i, g := range grad {
			d := g*factor + decay*param[i]
			momentum[i] = mu*momentum[i] + d
			step := momentum[i]
			if a.Nesterov {
				step = d + mu*momentum[i]
			}
			param[i] -= lr * step
		}
	}
}

// adam is AdamW and LAMB.
func adam(o operands) {
	a := o.node.Attr.(graph.AdamAttr)
	lr, factor, step := o.in[graph.UpdateRate][0], gradientFactor(o, a.Clip), o.out[0]
	step[0]++
	c1, c2 := 1-math.Pow(a.Beta1, step[0]), 1-math.Pow(a.Beta2, step[0])
	for t, grad := range o.in[graph.UpdateGrads:] {
		param, m, v := o.out[1+3*t], o.out[2+3*t], o.out[3+3*t]
		decay := 0.0
		if a.Decay[t] {
			decay = float64(a.WeightDecay)
		}
		u := make([]float64, len(param))
		for i, g := range grad {
			g *= factor
			m[i] += (1 - a.Beta1) * (g - m[i])
			v[i] += (1 - a.Beta2) * (g*g - v[i])
			u[i] = m[i]/c1/(math.Sqrt(v[i]/c2)+float64(a.Eps)) + decay*param[i]
		}
		ratio := 1.0
		if o.node.Op == graph.LAMB && decay != 0 {
			ratio = trustRatio(param, u)
		}
		for i := range param {
			param[i] -= lr * ratio * u[i]
		}
	}
}

// trustRatio is LAMB's |param| / |update|.
func trustRatio(param, update []float64) float64 {
	norm := func(xs []float64) float64 {
		sum := 0.0
		for _, x := range xs {
			sum += x * x
		}
		return math.Sqrt(sum)
	}
	w, u := norm(param), norm(update)
	if w == 0 || u == 0 {
		return 1
	}
	return w / u
}

func gradSum(o operands) {
	scale := lossScale(o.in[0])
	o.out[0][0]++
	for t, grad := range o.in[1:] {
		for i, g := range grad {
			o.out[1+t][i] += g / scale
		}
	}
}

func clearAll(o operands) {
	for _, x := range o.out {
		clear(x)
	}
}

func ema(o operands) {
	weight := 1 - o.node.Attr.(graph.EMAAttr).Decay
	for t, value := range o.in {
		average := o.out[t]
		for i, x := range value {
			average[i] += weight * (x - average[i])
		}
	}
}
