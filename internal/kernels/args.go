package kernels

import (
	"math"

	"senet/internal/graph"
)

// at is the address of v, 0 for nil.
func at(v *graph.Value) Arg { return Arg{Kind: ArgValue, Value: v, Size: 8} }

// copyOf is the address of weight v in the type of maps.
func copyOf(v *graph.Value) Arg { return Arg{Kind: ArgCopy, Value: v, Size: 8} }

// scratch is the address of byte offset of the workspace.
func scratch(offset int64) Arg { return Arg{Kind: ArgScratch, Offset: offset, Size: 8} }

// null is an address that is not there.
func null() Arg { return Arg{Size: 8} }

// i32, i64, f32 and f64 are numbers of the C types int, long long, float and double.
func i32(x int) Arg { return Arg{Bits: uint64(uint32(int32(x))), Size: 4} }

func i64(x int64) Arg { return Arg{Bits: uint64(x), Size: 8} }

func f32(x float32) Arg { return Arg{Bits: uint64(math.Float32bits(x)), Size: 4} }

func f64(x float64) Arg { return Arg{Bits: math.Float64bits(x), Size: 8} }

// flag is an int that is 1 or 0.
func flag(on bool) Arg {
	if on {
		return i32(1)
	}
	return i32(0)
}

// table is the address of a constant array of 8-byte words.
func table(entries ...Arg) Arg { return Arg{Kind: ArgTable, Table: entries, Size: 8} }

// align is the boundary of every part of a workspace in bytes: a vector load takes 16, a memory transaction 128.
const align = 128

func roundUp(n int64) int64 { return (n + align - 1) / align * align }

// workspace lays parts of a workspace one behind the other.
type workspace struct{ bytes int64 }

// take reserves n bytes.
func (w *workspace) take(n int64) Arg {
	a := scratch(w.bytes)
	w.bytes += roundUp(n)
	return a
}

// ceilDiv is a / b rounded up.
func ceilDiv(a, b int) int { return (a + b - 1) / b }

// width is how many elements of type t a thread loads at once: 16 bytes where c, the length of the rows, allows it, else 1.
func width(t Type, c int) int {
	if w := 16 / t.Size(); c%w == 0 {
		return w
	}
	return 1
}
