package graph

import (
	"fmt"
	"strconv"
	"strings"
)

// Shape is the logical shape of a tensor, e.g. (N, C, H, W) for a feature map or
// (N, C) for a gate. Backends choose the physical layout; shapes never change with it.
type Shape []int

// Elems is the number of elements; 1 for the empty shape.
func (s Shape) Elems() int {
	n := 1
	for _, d := range s {
		n *= d
	}
	return n
}

// Equal reports whether both shapes have the same dimensions.
func (s Shape) Equal(o Shape) bool {
	if len(s) != len(o) {
		return false
	}
	for i := range s {
		if s[i] != o[i] {
			return false
		}
	}
	return true
}

// String formats the shape as "(64, 3, 7, 7)".
func (s Shape) String() string {
	parts := make([]string, len(s))
	for i, d := range s {
		parts[i] = strconv.Itoa(d)
	}
	return "(" + strings.Join(parts, ", ") + ")"
}

// DType is the element type of a tensor.
type DType uint8

// Element types: float32 for everything that is computed, int32 for labels and
// counts, uint8 for pixels and window positions.
const (
	Float32 DType = iota
	Int32
	Uint8
)

// Size is the number of bytes of one element.
func (d DType) Size() int {
	if d == Uint8 {
		return 1
	}
	return 4
}

func (d DType) String() string {
	switch d {
	case Float32:
		return "float32"
	case Int32:
		return "int32"
	case Uint8:
		return "uint8"
	}
	return fmt.Sprintf("DType(%d)", uint8(d))
}
