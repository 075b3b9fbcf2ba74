package kernels

import "senet/internal/graph"

// Cast is the launch that makes the copy of weight v in type to, BF16 or F16, which convolutions read.
func Cast(v *graph.Value, to Type) Launch {
	count := v.Shape.Elems()
	return Launch{
		Module: "cast", Kernel: "cast_" + to.String(),
		Grid: Dim{X: ceilDiv(count, walkThreads*16/to.Size())}, Block: Dim{X: walkThreads},
		Args:  []Arg{copyOf(v), at(v), i64(int64(count))},
		Bytes: int64(count) * int64(F32.Size()+to.Size()),
	}
}

// Widen is the launch that makes v, in float32, of its elements in type from, BF16 or F16, at byte offset of the workspace.
func Widen(v *graph.Value, from Type, offset int64) Launch {
	count := v.Shape.Elems()
	return Launch{
		Module: "cast", Kernel: "widen_" + from.String(),
		Grid: Dim{X: ceilDiv(count, walkThreads*16/from.Size())}, Block: Dim{X: walkThreads},
		Args:  []Arg{at(v), scratch(offset), i64(int64(count))},
		Bytes: int64(count) * int64(F32.Size()+from.Size()),
	}
}
