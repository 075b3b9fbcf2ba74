package cuda

import (
	"math"
	"unsafe"

	"gorgonia.org/tensor"

	"senet/internal/graph"
	"senet/internal/kernels"
)

// toDevice writes t, which is in logical order, to data as v lies on the device.
func (e *executable) toDevice(v *graph.Value, data []byte, t *tensor.Dense) {
	o := e.order(v)
	switch src := t.Data().(type) {
	case []float32:
		switch e.planner.Type(v) {
		case kernels.BF16:
			scatter(o, elements[uint16](data), src, bf16Bits)
		case kernels.F16:
			scatter(o, elements[uint16](data), src, f16Bits)
		default:
			scatter(o, elements[float32](data), src, nil)
		}
	case []int32:
		scatter(o, elements[int32](data), src, nil)
	case []uint8:
		scatter(o, data, src, nil)
	}
}

// toHost writes data, which lies as v does on the device, to t in logical order.
func (e *executable) toHost(v *graph.Value, t *tensor.Dense, data []byte) {
	o := e.order(v)
	switch dst := t.Data().(type) {
	case []float32:
		switch e.planner.Type(v) {
		case kernels.BF16:
			gather(o, dst, elements[uint16](data), bf16Float)
		case kernels.F16:
			gather(o, dst, elements[uint16](data), f16Float)
		default:
			gather(o, dst, elements[float32](data), nil)
		}
	case []int32:
		gather(o, dst, elements[int32](data), nil)
	case []uint8:
		gather(o, dst, data, nil)
	}
}

// elements sees bytes as elements. Buffers of Go and of the driver are aligned to 8 bytes at least.
func elements[T any](b []byte) []T {
	var x T
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/int(unsafe.Sizeof(x)))
}

// order is the memory order of a value: c channels of hw pixels, next to each other on the device; c is 0 where the
// device's order is the logical one.
type order struct{ c, hw int }

func (e *executable) order(v *graph.Value) order {
	if !e.planner.ChannelsLast(v) {
		return order{}
	}
	return order{v.Shape[1], v.Shape[2] * v.Shape[3]}
}

// scatter writes logical src to dst in device order, converted by f; nil stands for the same type.
func scatter[D, S any](o order, dst []D, src []S, f func(S) D) {
	if f == nil {
		f = func(x S) D { return any(x).(D) }
		if same, ok := any(src).([]D); ok && o.c == 0 {
			copy(dst, same)
			return
		}
	}
	o.each(len(src), func(device, logical int) { dst[device] = f(src[logical]) })
}

// gather is the inverse of scatter.
func gather[D, S any](o order, dst []D, src []S, f func(S) D) {
	if f == nil {
		f = func(x S) D { return any(x).(D) }
		if same, ok := any(src).([]D); ok && o.c == 0 {
			copy(dst, same)
			return
		}
	}
	o.each(len(src), func(device, logical int) { dst[logical] = f(src[device]) })
}

// each calls f with both positions of each of n elements.
func (o order) each(n int, f func(device, logical int)) {
	if o.c == 0 {
		for i := range n {
			f(i, i)
		}
		return
	}
	for i := range n / o.hw {
		image, channel := i/o.c, i%o.c
		for p := range o.hw {
			f((image*o.hw+p)*o.c+channel, i*o.hw+p)
		}
	}
}

// bf16Bits rounds to the nearest bfloat16, ties to even; NaN stays NaN.
func bf16Bits(x float32) uint16 {
	b := math.Float32bits(x)
	if x != x {
		return uint16(b>>16) | 1<<6
	}
	return uint16((b + 0x7fff + b>>16&1) >> 16)
}

func bf16Float(b uint16) float32 { return math.Float32frombits(uint32(b) << 16) }

// f16Bits rounds to the nearest float16, ties to even; what is too large becomes infinite.
func f16Bits(x float32) uint16 {
	b := math.Float32bits(x)
	sign := uint16(b >> 16 & 0x8000)
	switch magnitude := b & 0x7fffffff; {
	case magnitude > 0x7f800000:
		return sign | 0x7e00
	case magnitude >= 0x477ff000: // 65520 rounds beyond the largest, 65504
		return sign | 0x7c00
	case magnitude < 0x38800000: // below 2^-14 the steps are 2^-24
		return sign | uint16(math.RoundToEven(float64(math.Float32frombits(magnitude))*0x1p24))
	default:
		return sign | uint16((magnitude-0x38000000+0xfff+magnitude>>13&1)>>13)
	}
}

func f16Float(h uint16) float32 {
	sign, exponent, mantissa := float32(1), int(h>>10&0x1f), float64(h&0x3ff)
	if h&0x8000 != 0 {
		sign = -1
	}
	switch exponent {
	case 0:
		return sign * float32(mantissa*0x1p-24)
	case 0x1f:
		if mantissa != 0 {
			return float32(math.NaN())
		}
		return sign * float32(math.Inf(1))
	}
	return sign * float32(math.Ldexp(1+mantissa/1024, exponent-15))
}
