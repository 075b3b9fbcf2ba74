// fold_squeeze: the first layer of an SE block, folded with the batch norm and the convolution before it, once after parameters
// were written:
//   a = gamma / sqrt(var + eps);  out (J, R, S, C) = w1 (J, K) a w (K, R, S, C/groups);  bias (J) = w1 (beta - a mean) + b1
// 2 J K R S C/groups flops in float32. Moves w1, w and out once if w stays in the L2 cache, where each FOLD_UNITS hidden units
// read it. Caller: fold_squeeze.go.
#include "reduce.cuh"

enum { FOLD_THREADS = 256, FOLD_UNITS = 8 };

// A thread makes one input of FOLD_UNITS hidden units. The grid is (R S C / FOLD_THREADS, J / FOLD_UNITS).
extern "C" __global__ void __launch_bounds__(FOLD_THREADS)
    fold_squeeze(const float* w, const float* gamma, const float* beta, const float* mean, const float* var,
                 const float* w1, const float* b1, float* out, float* bias, int J, int K, int C, int window, int groups,
                 float eps) {
  __shared__ float scaled[FOLD_UNITS][FOLD_THREADS], parts[WARP];  // w1 a of a chunk of filters
  const int unit = blockIdx.y * FOLD_UNITS, units = min(int(FOLD_UNITS), J - unit);
  const int input = blockIdx.x * FOLD_THREADS + threadIdx.x, inputs = window * C, per = C / groups,
            filters = K / groups;
  const int c = input % C, group = c / per;  // the filters of the group meet this input
  const float* column = w + input / C * per + c % per;
  float sums[FOLD_UNITS] = {}, shift[FOLD_UNITS] = {};
  for (int chunk = 0; chunk < K; chunk += FOLD_THREADS) {
    const int k = chunk + threadIdx.x;
    const float a = k < K ? gamma[k] * rsqrtf(var[k] + eps) : 0, b = k < K ? beta[k] - a * mean[k] : 0;
    __syncthreads();  // the chunk before is multiplied
#pragma unroll
    for (int u = 0; u < FOLD_UNITS; u++) {
      const float v = u < units && k < K ? w1[i64(unit + u) * K + k] : 0;
      scaled[u][threadIdx.x] = v * a;
      shift[u] = fmaf(v, b, shift[u]);
    }
    __syncthreads();
    const int first = max(chunk, group * filters), last = min(min(chunk + int(FOLD_THREADS), K), (group + 1) * filters);
#pragma unroll 4
    for (int f = first; input < inputs && f < last; f++) {
      const float x = column[i64(f) * window * per];
#pragma unroll
      for (int u = 0; u < FOLD_UNITS; u++) sums[u] = fmaf(scaled[u][f - chunk], x, sums[u]);
    }
  }
#pragma unroll
  for (int u = 0; u < FOLD_UNITS; u++)
    if (u < units && input < inputs) out[i64(unit + u) * inputs + input] = sums[u];
  if (blockIdx.x > 0) return;  // the whole block
#pragma unroll
  for (int u = 0; u < FOLD_UNITS; u++) {
    const float total = block_sum(shift[u], parts);
    if (threadIdx.x == 0 && u < units) bias[unit + u] = b1 ? total + b1[unit + u] : total;
  }
}
