package cpu

// #include "kernels.h"
// #include "onednn.h"
import "C"

import (
	"unsafe"

	"senet/internal/graph"
)

// winogradFits reports whether the convolution and the gradient of its input run by Winograd's algorithm, from the shape alone, so that
// results do not depend on the machine's load. oneDNN's time over ours on 2 Zen 5 cores with AVX-512, medians of 15 to 41
// interleaved pairs: 2.4 for 64 channels of 16x56x56, 2.6 for 128 of 16x28x28, 1.6 for 256 of 16x14x14, 1.7 for 512 of 16x7x7, 1.1 to 1.3 for
// 16 of 128x28x28 or 16x28x28; with AVX2 2.0 to 3.0, and 1.1 for 16 channels. Of one image 1.8 with 196 tiles, 1.3 with 49, below 1 with
// 16; with 16 channels 0.9 with 196 tiles and 0.7 with 49.
func winogradFits(s C.senet_conv_shape) bool {
	high, wide := (s.h+3)/4, (s.w+3)/4 // tiles of an image
	least := C.int(48)
	if min(s.c, s.k) < 32 {
		least = 400
	}
	return s.r == 3 && s.s == 3 && s.stride == 1 && s.pad == 1 && s.groups == 1 &&
		min(s.c, s.k) >= 16 && max(s.c, s.k) <= C.SENET_WINOGRAD_CHANNELS &&
		s.n*high*wide >= least && s.h*s.w >= 8*high*wide // half of what tiles compute is wanted: 5x5 is too small, 6x6 is not
}

// winogradGradWeightFits is the same for the gradient of the weight: 2.7, 2.7, 2.0 and 2.0 for the first four of those, 1.8 with 24 channels
// of 128x28x28, but 0.8 to 0.9 with 16; with AVX2 2.9 to 4.9, and below 1 with 16.
func winogradGradWeightFits(s C.senet_conv_shape) bool { return winogradFits(s) && min(s.c, s.k) >= 24 }

// winogradConv is the forward convolution of n with its epilogue.
func (c *compiler) winogradConv(n *graph.Node, s C.senet_conv_shape) (convolution, error) {
	threads := C.int(c.b.threads)
	bytes := C.senet_winograd_conv_scratch(s.n, s.h, s.w, s.c, s.k, threads)
	return c.ours(s, bytes, func(m *binding, scratch unsafe.Pointer, args []unsafe.Pointer) func() {
		a := &C.senet_winograd_conv_args{
			n: s.n, h: s.h, w: s.w, c: s.c, k: s.k, threads: threads,
			x: (*C.float)(args[0]), weight: (*C.float)(args[weightArgument]), y: (*C.float)(args[2]),
			bias: m.f32(n.In[2]), gate: m.f32(n.In[3]), residual: m.f32(n.In[4]), relu: cbool(n.Attr.(graph.ConvAttr).ReLU),
			scratch: scratch,
		}
		return func() { C.senet_winograd_conv(a) }
	})
}

// winogradGradInput is the convolution of dy with the weight turned by half and its channels exchanged.
func (c *compiler) winogradGradInput(s C.senet_conv_shape) (convolution, error) {
	threads := C.int(c.b.threads)
	bytes := C.senet_winograd_conv_scratch(s.n, s.h, s.w, s.k, s.c, threads)
	return c.ours(s, bytes, func(_ *binding, scratch unsafe.Pointer, args []unsafe.Pointer) func() {
		a := &C.senet_winograd_conv_args{
			n: s.n, h: s.h, w: s.w, c: s.k, k: s.c, flip: 1, threads: threads,
			x: (*C.float)(args[0]), weight: (*C.float)(args[weightArgument]), y: (*C.float)(args[2]), scratch: scratch,
		}
		return func() { C.senet_winograd_conv(a) }
	})
}

func (c *compiler) winogradGradWeight(s C.senet_conv_shape) (convolution, error) {
	threads := C.int(c.b.threads)
	bytes := C.senet_winograd_grad_weight_scratch(s.n, s.h, s.w, s.c, s.k, threads)
	return c.ours(s, bytes, func(_ *binding, scratch unsafe.Pointer, args []unsafe.Pointer) func() {
		a := &C.senet_winograd_grad_weight_args{
			n: s.n, h: s.h, w: s.w, c: s.c, k: s.k, threads: threads,
			dy: (*C.float)(args[0]), dw: (*C.float)(args[weightArgument]), x: (*C.float)(args[2]), scratch: scratch,
		}
		return func() { C.senet_winograd_grad_weight(a) }
	})
}
