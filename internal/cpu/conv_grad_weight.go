package cpu

// #include "kernels.h"
// #include "onednn.h"
import "C"

import (
	"unsafe"

	"senet/internal/graph"
)

// convGradWeight stores the gradient in its parameter's layout: the update runs over the raw floats of both.
func convGradWeight(c *compiler, n *graph.Node) (*op, error) {
	dy, x, dw, db := n.In[0], n.In[1], n.Out[0], n.Out[1]
	shape := convShape(x.Shape, dw.Shape, dy.Shape, n.Attr.(graph.ConvAttr))
	if w := c.weights[c.gradOf[dw]]; w != nil {
		c.weights[dw] = w
	}
	var own func(C.senet_conv_shape) (convolution, error)
	switch {
	case db != nil: // oneDNN sums the bias's gradient in the same pass
	case winogradGradWeightFits(shape):
		own = c.winogradGradWeight
	case productsFit(shape):
		own = c.productGradWeight
	}
	if own != nil {
		v, err := own(shape)
		if err != nil {
			return nil, err
		}
		return c.weighted(v, shape, true, dy, dw, x)
	}
	operands := []*graph.Value{dy, dw, x}
	if db != nil {
		operands = append(operands, db)
	}
	var likes *C.senet_layout
	var p *C.senet_primitive
	if err := message(C.senet_conv_grad_weight_new(c.b.engine, &shape, cbool(db != nil), &likes, &p)); err != nil {
		return nil, err
	}
	return c.weighted(c.direct(p, likes), shape, true, operands...)
}

// productsFit reports whether the gradient of the weight is faster by our own products of matrices, from the shape alone. oneDNN's
// time over ours on 2 Zen 5 cores with AVX-512, medians of 15 interleaved pairs of 16 images after the caches were flushed, with the
// copy to the forward convolution's layout: 1x1 kernels with 64 to 256 channels of 56x56 1.4, 64 to 64 1.5, 256 to 64 1.2, 128 to 512 of
// 28x28 1.25, 512 to 256 1.1, but 256 to 1024 of 14x14 1.0, 2048 to 512 of 7x7 0.95; 3x3 with stride 2, 128 channels of 56x56 1.8, 256 of
// 28x28 1.4, 512 of 14x14 1.25, but 16 to 32 of 28x28 0.6. With AVX2 1.0 to 1.2 and 1.3 to 1.8. Of one image 28x28, 0.8.
func productsFit(s C.senet_conv_shape) bool {
	pixels := s.n * s.p * s.q
	if s.groups != 1 || s.k%32 != 0 || s.c < 64 {
		return false
	}
	if s.r == 1 && s.s == 1 {
		return s.pad == 0 && s.c*s.k <= 512*256 && pixels >= 3136
	}
	return s.r == 3 && s.s == 3 && s.stride == 2 && s.pad == 1 && pixels >= 784
}

// productGradWeight is the gradient of a weight by our own products.
func (c *compiler) productGradWeight(s C.senet_conv_shape) (convolution, error) {
	threads := C.int(c.b.threads)
	bytes := C.senet_conv_grad_weight_scratch(C.int64_t(s.n)*C.int64_t(s.p)*C.int64_t(s.q), s.c, s.k, s.r, s.s, threads)
	return c.ours(s, bytes, func(_ *binding, scratch unsafe.Pointer, args []unsafe.Pointer) func() {
		a := &C.senet_conv_grad_weight_args{
			n: s.n, h: s.h, w: s.w, c: s.c, k: s.k, r: s.r, s: s.s, p: s.p, q: s.q, stride: s.stride, pad: s.pad, threads: threads,
			dy: (*C.float)(args[0]), dw: (*C.float)(args[weightArgument]), x: (*C.float)(args[2]), scratch: scratch,
		}
		return func() { C.senet_conv_grad_weight(a) }
	})
}
