// All parameters in one launch: they are cut into chunks, and a block takes one. Callers: the optimisers and global_norm.cu,
// launched with the tables of chunks.go.
#pragma once
#include "types.cuh"

enum { CHUNK = 4096 };  // elements, as chunks.go has it

// Calls f.at<4>(i) for every 4 neighbours of the chunk that an entry names, and f.at<1>(i) for those that are left at the
// end of the tensor, which has count elements. An entry is the tensor's number << 32 | the chunk's number in the tensor.
template <class F>
__device__ inline void each_of_chunk(i64 entry, i64 count, F& f) {
  const i64 first = (entry & 0xffffffff) * CHUNK, end = min(count, first + CHUNK), whole = end & ~i64(3);
  for (i64 i = first + 4 * threadIdx.x; i < whole; i += 4 * blockDim.x) f.template at<4>(i);
  for (i64 i = whole + threadIdx.x; i < end; i += blockDim.x) f.template at<1>(i);
}
