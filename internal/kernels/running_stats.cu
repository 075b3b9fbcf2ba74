// running_stats: running (C) += momentum (batch - running), the variance made unbiased. Caller: running_stats.go.
#include "walk.cuh"

extern "C" __global__ void running_stats(float* running_mean, float* running_var, const float* mean, const float* var,
                                         float momentum, float unbias, i64 c) {
  each<1>(c, [=](i64 i) {
    running_mean[i] += momentum * (mean[i] - running_mean[i]);
    running_var[i] += momentum * (var[i] * unbias - running_var[i]);
  });
}
