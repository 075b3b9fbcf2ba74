package ref

import (
	"math"

	"senet/internal/graph"
)

func globalNorm(o operands) {
	sum := 0.0
	for _, grad := range o.in {
		for _, g := range grad {
			sum += g * g
		}
	}
	o.out[0][0] = math.Sqrt(sum)
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

func sgd(o operands) {
	a := o.node.Attr.(graph.SGDAttr)
	lr, mu := o.in[0][0], float64(a.Momentum)
	for t, grad := range o.in[1:] {
		param, momentum := o.out[2*t], o.out[2*t+1]
		decay := 0.0
		if a.Decay[t] {
			decay = float64(a.WeightDecay)
		}
		for i, g := range grad {
			d := g + decay*param[i]
			momentum[i] = mu*momentum[i] + d
			step := momentum[i]
			if a.Nesterov {
				step = d + mu*momentum[i]
			}
			param[i] -= lr * step
		}
	}
}
