// all_reduce: what goes before and after NCCL's sum over the ranks. Packing makes to = weight from of each tensor, weight being
// 1 over the ranks, either in the place of the results, which then are summed there, or in memory between; there it may be
// bfloat16, half of what travels. Unpacking copies from there. 8 bytes an element, 6 with bfloat16. Caller: all_reduce.go.
#include "chunks.cuh"

// An entry of the table that all_reduce.go makes.
struct Parcel {
  void* to;
  const void* from;
  i64 count;
};

template <class To, class From>
struct Copy {
  To* to;
  const From* from;
  float weight;

  template <int W>
  __device__ void at(i64 i) const {
    float x[W];
    load(x, from + i);
#pragma unroll
    for (int j = 0; j < W; j++) x[j] *= weight;
    store(to + i, x);
  }
};

template <class To, class From>
__device__ inline void copy(const Parcel* parcels, const i64* chunks, float weight) {
  const i64 entry = chunks[blockIdx.x];
  const Parcel p = parcels[entry >> 32];
  Copy<To, From> c = {static_cast<To*>(p.to), static_cast<const From*>(p.from), weight};
  each_of_chunk(entry, p.count, c);
}

extern "C" __global__ void all_reduce_copy(const Parcel* parcels, const i64* chunks, float weight) {
  copy<float, float>(parcels, chunks, weight);
}

extern "C" __global__ void all_reduce_narrow(const Parcel* parcels, const i64* chunks, float weight) {
  copy<bf16, float>(parcels, chunks, weight);
}

extern "C" __global__ void all_reduce_widen(const Parcel* parcels, const i64* chunks, float weight) {
  copy<float, bf16>(parcels, chunks, weight);
}
