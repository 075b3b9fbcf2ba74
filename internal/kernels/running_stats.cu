// running_stats: running (C) += momentum (batch - running), the variance made unbiased; every batch norm of a phase in one launch.
// 24 bytes a channel. Caller: running_stats.go.
#include "chunks.cuh"

// An entry of the table that running_stats.go makes.
struct Stats {
  float *running_mean, *running_var;
  const float *mean, *var;
  i64 count;  // C
  double momentum, unbias;
};

struct Follow {
  Stats s;

  template <int W>
  __device__ void at(i64 i) const {
    float running_mean[W], running_var[W], mean[W], var[W];
    load(running_mean, s.running_mean + i);
    load(running_var, s.running_var + i);
    load(mean, s.mean + i);
    load(var, s.var + i);
    const float momentum = float(s.momentum), unbias = float(s.unbias);
#pragma unroll
    for (int j = 0; j < W; j++) {
      running_mean[j] += momentum * (mean[j] - running_mean[j]);
      running_var[j] += momentum * (var[j] * unbias - running_var[j]);
    }
    store(s.running_mean + i, running_mean);
    store(s.running_var + i, running_var);
  }
};

extern "C" __global__ void running_stats(const Stats* stats, const i64* chunks) {
  const i64 entry = chunks[blockIdx.x];
  Follow f = {stats[entry >> 32]};
  each_of_chunk(entry, f.s.count, f);
}
