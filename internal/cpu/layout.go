package cpu

// #include "onednn.h"
import "C"

import (
	"fmt"
	"unsafe"

	"gorgonia.org/tensor"

	"senet/internal/backend"
	"senet/internal/graph"
)

// layouts records where a value's memory order is not the default: NHWC for rank 4, dense else.
type layouts struct {
	weights map[*graph.Value]*weight // in a layout that oneDNN chose
	plain   map[*graph.Value]bool    // rank 4, yet in logical order: pixels, weights of no convolution
}

func newLayouts() layouts {
	return layouts{map[*graph.Value]*weight{}, map[*graph.Value]bool{}}
}

// weight is a layout shared by a convolution's weight, its gradient and its momentum.
type weight struct {
	layout *C.senet_layout
	shape  C.senet_conv_shape
}

func (w *weight) bytes() int64 { return int64(C.senet_layout_bytes(w.layout)) }

func (l layouts) release() {
	seen := map[*weight]bool{}
	for _, w := range l.weights {
		if !seen[w] {
			C.senet_layout_free(w.layout)
			seen[w] = true
		}
	}
}

// floats is the number of float32 that v takes, padding included.
func (l layouts) floats(v *graph.Value) int64 {
	if w := l.weights[v]; w != nil {
		return w.bytes() / 4
	}
	return int64(v.Shape.Elems())
}

// Write copies a host tensor in logical order to v.
func (e *executable) Write(v *graph.Value, t *tensor.Dense) error {
	if err := backend.CheckHost(v, t); err != nil {
		return err
	}
	to := e.at(v)
	if to == nil {
		return fmt.Errorf("cpu: write %q: not part of the program", v.Name)
	}
	if w := e.weights[v]; w != nil {
		plain := (*C.float)(unsafe.Pointer(unsafe.SliceData(t.Data().([]float32))))
		return e.b.thread.do(func() error {
			return message(C.senet_layout_pack(e.b.engine, &w.shape, w.layout, plain, (*C.float)(to)))
		})
	}
	switch src := t.Data().(type) {
	case []float32:
		toPhysical(e, v, unsafe.Slice((*float32)(to), len(src)), src)
	case []int32:
		toPhysical(e, v, unsafe.Slice((*int32)(to), len(src)), src)
	case []uint8:
		toPhysical(e, v, unsafe.Slice((*uint8)(to), len(src)), src)
	}
	return nil
}

// Read copies v to a new host tensor in logical order.
func (e *executable) Read(v *graph.Value) (*tensor.Dense, error) {
	from := e.at(v)
	if from == nil {
		return nil, fmt.Errorf("cpu: read %q: not part of the program", v.Name)
	}
	t := tensor.New(tensor.WithShape(v.Shape...), tensor.Of(backend.HostType(v.DType)))
	if w := e.weights[v]; w != nil {
		plain := (*C.float)(unsafe.Pointer(unsafe.SliceData(t.Data().([]float32))))
		return t, e.b.thread.do(func() error {
			return message(C.senet_layout_unpack(e.b.engine, &w.shape, w.layout, (*C.float)(from), plain))
		})
	}
	switch dst := t.Data().(type) {
	case []float32:
		toLogical(e, v, dst, unsafe.Slice((*float32)(from), len(dst)))
	case []int32:
		toLogical(e, v, dst, unsafe.Slice((*int32)(from), len(dst)))
	case []uint8:
		toLogical(e, v, dst, unsafe.Slice((*uint8)(from), len(dst)))
	}
	return t, nil
}

// isMap reports whether v is kept NHWC.
func (l layouts) isMap(v *graph.Value) bool { return len(v.Shape) == 4 && !l.plain[v] }

func toPhysical[T any](e *executable, v *graph.Value, dst, src []T) {
	if !e.isMap(v) {
		copy(dst, src)
		return
	}
	c, hw := v.Shape[1], v.Shape[2]*v.Shape[3]
	for i := range v.Shape[0] * c {
		n, ch := i/c, i%c
		for p, x := range src[i*hw : (i+1)*hw] {
			dst[(n*hw+p)*c+ch] = x
		}
	}
}

func toLogical[T any](e *executable, v *graph.Value, dst, src []T) {
	if !e.isMap(v) {
		copy(dst, src)
		return
	}
	c, hw := v.Shape[1], v.Shape[2]*v.Shape[3]
	for i := range v.Shape[0] * c {
		n, ch := i/c, i%c
		for p := range hw {
			dst[i*hw+p] = src[(n*hw+p)*c+ch]
		}
	}
}
