package ref

import (
	"math"

	"senet/internal/graph"
)

// squeeze is z (N, C) = the mean over pixels of x (N, C, H, W).
func squeeze(z, x []float64, d dims) {
	clear(z)
	d.each(func(i, _, pair int) { z[pair] += x[i] })
	for i := range z {
		z[i] /= float64(d.hw)
	}
}

func globalAvgPool(o operands) { squeeze(o.out[0], o.in[0], dimsOf(o.node.In[0])) }

func globalAvgPoolGrad(o operands) {
	dy, dx := o.in[0], o.out[0]
	d := dimsOf(o.node.Out[0])
	d.each(func(i, _, pair int) { dx[i] = dy[pair] / float64(d.hw) })
}

func maxPool(o operands) {
	x, y, position := o.in[0], o.out[0], o.out[1]
	in, out, a := o.node.In[0].Shape, o.node.Out[0].Shape, o.node.Attr.(graph.PoolAttr)
	h, w, p, q := in[2], in[3], out[2], out[3]
	for i := range y {
		m := x[i/(p*q)*h*w:][:h*w] // the map that output i looks at
		top, left := i/q%p*a.Stride-a.Pad, i%q*a.Stride-a.Pad
		best, at := math.Inf(-1), -1
		for r := max(0, -top); r < a.Kernel && top+r < h; r++ {
			for s := max(0, -left); s < a.Kernel && left+s < w; s++ {
				v := m[(top+r)*w+left+s]
				if at < 0 || v > best || math.IsNaN(v) {
					best, at = v, r*a.Kernel+s
				}
			}
		}
		y[i] = best
		if position != nil {
			position[i] = float64(at)
		}
	}
}

func maxPoolGrad(o operands) {
	dy, position, dx := o.in[0], o.in[1], o.out[0]
	in, out, a := o.node.Out[0].Shape, o.node.In[0].Shape, o.node.Attr.(graph.PoolAttr)
	h, w, p, q := in[2], in[3], out[2], out[3]
	clear(dx)
	for i, g := range dy {
		at := int(position[i])
		row, column := i/q%p*a.Stride-a.Pad+at/a.Kernel, i%q*a.Stride-a.Pad+at%a.Kernel
		dx[i/(p*q)*h*w+row*w+column] += g
	}
}
