// clear: every value 0. 4 bytes a value. Caller: followers.go.
#include "followers.cuh"

struct Zeros {
  float* to;

  template <int W>
  __device__ void at(i64 i) const {
    float zeros[W] = {};
    store(to + i, zeros);
  }
};

extern "C" __global__ void clear(const Follower* followers, const i64* chunks) {
  const i64 entry = chunks[blockIdx.x];
  const Follower t = followers[entry >> 32];
  Zeros z = {t.to};
  each_of_chunk(entry, t.count, z);
}
