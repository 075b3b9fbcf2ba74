// ema: average += weight (value - average) over all parameters and running statistics, as timm.utils.ModelEmaV2. 12 bytes a
// value. Caller: followers.go.
#include "followers.cuh"

struct Average {
  Follower t;
  float weight;  // 1 - decay

  template <int W>
  __device__ void at(i64 i) const {
    float average[W], value[W];
    load(average, t.to + i);
    load(value, t.from + i);
#pragma unroll
    for (int j = 0; j < W; j++) average[j] += weight * (value[j] - average[j]);
    store(t.to + i, average);
  }
};

extern "C" __global__ void ema(const Follower* followers, const i64* chunks, float weight) {
  const i64 entry = chunks[blockIdx.x];
  Average a = {followers[entry >> 32], weight};
  each_of_chunk(entry, a.t.count, a);
}
