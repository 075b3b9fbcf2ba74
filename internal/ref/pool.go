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

func globalMaxPool(o operands) {
	x, y, pixel := o.in[0], o.out[0], o.out[1]
	d := dimsOf(o.node.In[0])
	for pair := range y {
		best, at := math.Inf(-1), -1
		for i, v := range x[pair*d.hw : (pair+1)*d.hw] {
			if at < 0 || v > best || math.IsNaN(v) {
				best, at = v, i
			}
		}
		y[pair] = best
		if pixel != nil {
			pixel[pair] = float64(at)
		}
	}
}

func globalMaxPoolGrad(o operands) {
	dy, pixel, dx := o.in[0], o.in[1], o.out[0]
	hw := dimsOf(o.node.Out[0]).hw
	clear(dx)
	for pair, g := range dy {
		dx[pair*hw+int(pixel[pair])] = g
	}
}

// region is one window of an average pool: the pixels [top, bottom) x [left, right) of the map, and the number of
// pixels its mean is over, padding included.
type region struct{ top, bottom, left, right, count int }

func regionAt(p, q, h, w int, a graph.PoolAttr) region {
	top, left := p*a.Stride-a.Pad, q*a.Stride-a.Pad
	bottom, right := min(top+a.Kernel, h+a.Pad), min(left+a.Kernel, w+a.Pad)
	return region{max(top, 0), min(bottom, h), max(left, 0), min(right, w), (bottom - top) * (right - left)}
}

// eachWindow calls f for each pixel of each window with the index of the output, of the pixel, and the window's count.
func eachWindow(in, out graph.Shape, a graph.PoolAttr, f func(y, x int, count float64)) {
	h, w, p, q := in[2], in[3], out[2], out[3]
	for i := range out.Elems() {
		m := regionAt(i/q%p, i%q, h, w, a)
		for r := m.top; r < m.bottom; r++ {
			for s := m.left; s < m.right; s++ {
				f(i, i/(p*q)*h*w+r*w+s, float64(m.count))
			}
		}
	}
}

func avgPool(o operands) {
	x, y := o.in[0], o.out[0]
	clear(y)
	eachWindow(o.node.In[0].Shape, o.node.Out[0].Shape, o.node.Attr.(graph.PoolAttr), func(at, from int, count float64) { y[at] += x[from] / count })
}

func avgPoolGrad(o operands) {
	dy, dx := o.in[0], o.out[0]
	clear(dx)
	eachWindow(o.node.Out[0].Shape, o.node.In[0].Shape, o.node.Attr.(graph.PoolAttr), func(at, to int, count float64) { dx[to] += dy[at] / count })
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
