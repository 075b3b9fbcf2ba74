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
	weights map[*graph.Value]*weight // of convolutions, in a layout that oneDNN chose, or plain
	plain   map[*graph.Value]bool    // rank 4, yet in logical order: pixels, and weights that our own loops read
	owned   *[]*C.senet_layout       // every layout made, freed with the executable
}

func newLayouts() layouts {
	return layouts{map[*graph.Value]*weight{}, map[*graph.Value]bool{}, new([]*C.senet_layout)}
}

// weight is the layout shared by a convolution's weight, its gradient and its momentum, so that norms and the
// optimiser run over their raw floats, padding included: oneDNN keeps padding at 0, and so do they.
type weight struct {
	layout      *C.senet_layout
	plainLayout *C.senet_layout // the same tensor in logical order
}

func (w *weight) bytes() int64 { return int64(C.senet_layout_bytes(w.layout)) }

// own makes the layouts freed at the end.
func (l layouts) own(layout *C.senet_layout) *C.senet_layout {
	*l.owned = append(*l.owned, layout)
	return layout
}

func (l layouts) release() {
	for _, layout := range *l.owned {
		C.senet_layout_free(layout)
	}
	*l.owned = nil
}

// stored is how v, the weight of a convolution, lies in memory: as its first user likes it, or in plain
// order where our own loops read it too.
func (l layouts) stored(v *graph.Value, s *C.senet_conv_shape, likes *C.senet_layout) (*weight, error) {
	if w := l.weights[v]; w != nil {
		return w, nil
	}
	w := &weight{layout: likes}
	if err := message(C.senet_layout_plain(s, &w.plainLayout)); err != nil {
		return nil, err
	}
	l.own(w.plainLayout)
	if l.plain[v] {
		w.layout = w.plainLayout
	}
	l.weights[v] = w
	return w, nil
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
		return fmt.Errorf("cpu: %w", err)
	}
	to, err := e.hosted(v)
	if err != nil {
		return fmt.Errorf("cpu: write %q: %w", v.Name, err)
	}
	if w := e.weights[v]; w != nil {
		return e.copyWeight(w.plainLayout, unsafe.Pointer(unsafe.SliceData(t.Data().([]float32))), w.layout, to)
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
	from, err := e.hosted(v)
	if err != nil {
		return nil, fmt.Errorf("cpu: read %q: %w", v.Name, err)
	}
	t := tensor.New(tensor.WithShape(v.Shape...), tensor.Of(backend.HostType(v.DType)))
	if w := e.weights[v]; w != nil {
		return t, e.copyWeight(w.layout, from, w.plainLayout, unsafe.Pointer(unsafe.SliceData(t.Data().([]float32))))
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

// copyWeight copies a weight between layouts on the backend's thread.
func (e *executable) copyWeight(from *C.senet_layout, src unsafe.Pointer, to *C.senet_layout, dst unsafe.Pointer) error {
	return e.b.thread.do(func() error {
		return message(C.senet_layout_copy(e.b.engine, from, (*C.float)(src), to, (*C.float)(dst)))
	})
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
