// grad_sum: sum += grad / loss scale over all parameters, steps (1) += 1. 12 bytes a parameter. Caller: followers.go.
#include "followers.cuh"

struct Sum {
  Follower t;
  float factor;

  template <int W>
  __device__ void at(i64 i) const {
    float sum[W], grad[W];
    load(sum, t.to + i);
    load(grad, t.from + i);
#pragma unroll
    for (int j = 0; j < W; j++) sum[j] += factor * grad[j];
    store(t.to + i, sum);
  }
};

// scale may be null.
extern "C" __global__ void grad_sum(const Follower* followers, const i64* chunks, float* steps, const float* scale) {
  const i64 entry = chunks[blockIdx.x];
  Sum s = {followers[entry >> 32], scale ? 1.0f / scale[0] : 1.0f};
  each_of_chunk(entry, s.t.count, s);
  if (blockIdx.x == 0 && threadIdx.x == 0) steps[0] += 1.0f;
}
