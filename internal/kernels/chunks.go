package kernels

import "senet/internal/graph"

// chunk is how many elements of a tensor a block of the optimisers and of global_norm takes (chunks.cuh). With 256 threads each moves
// 16 elements an array; ResNet-50 makes 6,300 blocks.
const (
	chunk        = 4096
	chunkThreads = 256
)

// chunks is the table with an entry for every chunk of the tensors, whose numbers are their places in vs.
func chunks(vs []*graph.Value) []Arg {
	var entries []Arg
	for i, v := range vs {
		for c := range ceilDiv(v.Shape.Elems(), chunk) {
			entries = append(entries, i64(int64(i)<<32|int64(c)))
		}
	}
	return entries
}
