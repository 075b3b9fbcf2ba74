package ref

import (
	"math"

	"senet/internal/graph"
)

func normalize(o operands) {
	image, out, a := o.in[0], o.out[0], o.node.Attr.(graph.NormalizeAttr)
	d := dimsOf(o.node.Out[0])
	d.each(func(i, c, pair int) {
		n, pixel := pair/d.c, i%d.hw
		x := image[(n*d.hw+pixel)*d.c+c] // (N, H, W, C)
		out[i] = (x/255 - float64(a.Mean[c])) / float64(a.Std[c])
	})
}

func relu(o operands) {
	for i, x := range o.in[0] {
		o.out[0][i] = max(x, 0) // NaN stays NaN
	}
}

func reluGrad(o operands) {
	dy, y, dx := o.in[0], o.in[1], o.out[0]
	for i := range dx {
		dx[i] = 0
		if y[i] > 0 {
			dx[i] = dy[i]
		}
	}
}

// logistic is 1/(1+exp(-x)).
func logistic(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

func sigmoid(o operands) {
	for i, x := range o.in[0] {
		o.out[0][i] = logistic(x)
	}
}

func sigmoidGrad(o operands) {
	dy, y, dx := o.in[0], o.in[1], o.out[0]
	for i := range dx {
		dx[i] = dy[i] * y[i] * (1 - y[i])
	}
}

func hardSigmoid(o operands) {
	for i, x := range o.in[0] {
		o.out[0][i] = min(max(x+3, 0), 6) / 6
	}
}

func hardSigmoidGrad(o operands) {
	dy, y, dx := o.in[0], o.in[1], o.out[0]
	for i := range dx {
		dx[i] = 0
		if y[i] > 0 && y[i] < 1 {
			dx[i] = dy[i] / 6
		}
	}
}

func tanh(o operands) {
	for i, x := range o.in[0] {
		o.out[0][i] = math.Tanh(x)
	}
}

func tanhGrad(o operands) {
	dy, y, dx := o.in[0], o.in[1], o.out[0]
	for i := range dx {
		dx[i] = dy[i] * (1 - y[i]*y[i])
	}
}

// dropout is its own gradient.
func dropout(o operands) {
	x, step, y, a := o.in[0], int32(o.in[1][0]), o.out[0], o.node.Attr.(graph.DropoutAttr)
	for i := range y {
		y[i] = 0
		if !a.Dropped(step, i) {
			y[i] = x[i] / (1 - float64(a.Rate))
		}
	}
}

func add(o operands) {
	for i, a := range o.in[0] {
		o.out[0][i] = a + o.in[1][i]
	}
}

func scale(o operands) {
	x, gate, y := o.in[0], o.in[1], o.out[0]
	dimsOf(o.node.In[0]).each(func(i, _, pair int) { y[i] = gate[pair] * x[i] })
}

func scaleGrad(o operands) {
	dy, x, gate, dx, dgate := o.in[0], o.in[1], o.in[2], o.out[0], o.out[1]
	d := dimsOf(o.node.In[1])
	if dx != nil {
		d.each(func(i, _, pair int) { dx[i] = dy[i] * gate[pair] })
	}
	if dgate != nil {
		clear(dgate)
		d.each(func(i, _, pair int) { dgate[pair] += dy[i] * x[i] })
	}
}
