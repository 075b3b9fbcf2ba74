package cuda

// #include "cudnn.h"
import "C"

import (
	"fmt"
	"strings"

	"senet/internal/kernels"
)

// convKind is a convolution or one of its gradients.
type convKind uint8

// Kinds of convolutions, and their operands x, w, y.
const (
	convForward    convKind = iota // x, weight, y
	convGradInput                  // dy, weight, dx
	convGradWeight                 // dy, x, dw
)

func (k convKind) String() string {
	return [...]string{"conv", "conv_grad_input", "conv_grad_weight"}[k]
}

// convPattern is a convolution of x (N, C, H, W) with a weight (K, C/groups, R, S) to y (N, K, P, Q), or a gradient of
// one; the key of a plan. Maps lie as (N, H, W, C), weights as (K, R, S, C/groups). Products are summed in float32.
type convPattern struct {
	kind                                           convKind
	n, c, h, w, k, r, s, p, q, stride, pad, groups int
	input, weight, output                          kernels.Type // element types of the operands x, w, y
	tf32                                           bool         // float32 maps may be multiplied as TF32
	// The forward's epilogue: y = relu?(gate (conv + bias) + residual), the gate (N, K) in float32. A bias of the output's
	// type gets engines compiled ahead, some 30; a gate, and a float32 bias beside 16-bit maps, those few that are
	// compiled for each convolution.
	bias, gate, residual, relu bool
	biasType                   kernels.Type
}

// String is the pattern as the key of a file.
func (p convPattern) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s n%d c%d h%d w%d k%d r%d s%d p%d q%d stride%d pad%d groups%d %s,%s,%s",
		p.kind, p.n, p.c, p.h, p.w, p.k, p.r, p.s, p.p, p.q, p.stride, p.pad, p.groups, p.input, p.weight, p.output)
	for _, part := range []struct {
		on   bool
		name string
	}{{p.tf32, "tf32"}, {p.residual, "residual"}, {p.bias, "bias:" + p.biasType.String()}, {p.gate, "gate"}, {p.relu, "relu"}} {
		if part.on {
			b.WriteString(" " + part.name)
		}
	}
	return b.String()
}

func (p convPattern) check() error {
	for _, d := range []int{p.n, p.c, p.h, p.w, p.k, p.r, p.s, p.p, p.q, p.stride, p.groups} {
		if d < 1 {
			return fmt.Errorf("%s: an extent is below 1", p)
		}
	}
	if p.pad < 0 || p.c%p.groups != 0 || p.k%p.groups != 0 ||
		(p.h+2*p.pad-p.r)/p.stride+1 != p.p || (p.w+2*p.pad-p.s)/p.stride+1 != p.q {
		return fmt.Errorf("%s: the extents do not fit together", p)
	}
	for _, t := range []kernels.Type{p.input, p.weight, p.output, p.biasType} {
		if t != kernels.F32 && t != kernels.BF16 && t != kernels.F16 {
			return fmt.Errorf("%s: elements of type %s", p, t)
		}
	}
	if p.kind != convForward && (p.bias || p.gate || p.residual || p.relu) {
		return fmt.Errorf("%s: a gradient has no epilogue", p)
	}
	return nil
}

// refuses says why an engine's numbers will not do, or "".
func (p convPattern) refuses(notes C.uint32_t) string {
	switch {
	case notes&C.SENET_CUDNN_NONDETERMINISTIC != 0:
		return "not deterministic"
	case notes&C.SENET_CUDNN_REDUCED_PRECISION != 0:
		return "sums in less than float32"
	case p.input != kernels.F32:
		return ""
	case notes&C.SENET_CUDNN_DOWN_CONVERT != 0:
		return "products in less than TF32"
	case notes&C.SENET_CUDNN_TENSOR_CORE != 0 && !p.tf32:
		return "products in TF32"
	}
	return ""
}

func (p convPattern) native() C.senet_cudnn_conv {
	i := func(n int) C.int64_t { return C.int64_t(n) }
	flag := func(on bool) C.int {
		if on {
			return 1
		}
		return 0
	}
	kinds := [...]C.int{C.SENET_CUDNN_FORWARD, C.SENET_CUDNN_GRAD_INPUT, C.SENET_CUDNN_GRAD_WEIGHT}
	types := map[kernels.Type]C.int{kernels.F32: C.SENET_CUDNN_F32, kernels.BF16: C.SENET_CUDNN_BF16, kernels.F16: C.SENET_CUDNN_F16}
	return C.senet_cudnn_conv{
		kind: kinds[p.kind],
		n:    i(p.n), c: i(p.c), h: i(p.h), w: i(p.w), k: i(p.k), r: i(p.r), s: i(p.s), p: i(p.p), q: i(p.q),
		stride: i(p.stride), pad: i(p.pad), groups: i(p.groups),
		input: types[p.input], weight: types[p.weight], output: types[p.output],
		bias: flag(p.bias), gate: flag(p.gate), residual: flag(p.residual), relu: flag(p.relu), bias_type: types[p.biasType],
	}
}

// maxCompiled is how many engines that NVRTC has to compile are prepared for p, each in about half a second: a few more where
// there are no others.
func (p convPattern) maxCompiled() int {
	if p.gate {
		return 3
	}
	return 2
}
