// softmax_cross_entropy over logits (N, K), and its gradient, for the targets of targets.cuh: the loss of a row is log sum exp(x) -
// sum target x, which takes the sum of x and two of its elements, the loss their mean over rows with a label. A block makes a
// row, which it reads twice, the second time from the cache; one more block adds up the rows in order. Caller:
// softmax_cross_entropy.go.
#include "targets.cuh"

// The maximum over the block's threads that is not NaN, in every thread; parts as in block_sum.
__device__ inline float block_max(float x, float* parts) {
  const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, warps = blockDim.x / WARP;
  for (int lanes = WARP / 2; lanes > 0; lanes /= 2) x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, lanes));
  if (lane == 0) parts[warp] = x;
  __syncthreads();
  x = lane < warps ? parts[lane] : LOWEST;
  for (int lanes = WARP / 2; lanes > 0; lanes /= 2) x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, lanes));
  return x;
}

// losses (N) and probabilities (N, K).
extern "C" __global__ void softmax_cross_entropy_rows(float* losses, float* probabilities, const float* logits,
                                                      const int* labels, const int* mixed, const float* share,
                                                      float smoothing, int k) {
  __shared__ float parts[WARP];
  const float* x = logits + i64(blockIdx.x) * k;
  float* p = probabilities + i64(blockIdx.x) * k;
  const Targets w(blockIdx.x, labels, mixed, share, smoothing, k);
  float top = LOWEST, sum = 0.0f, total = 0.0f;
  for (int j = threadIdx.x; j < k; j += blockDim.x) top = fmaxf(top, x[j]);
  top = block_max(top, parts);
  for (int j = threadIdx.x; j < k; j += blockDim.x) {
    sum += expf(x[j] - top);
    total += x[j] - top;
  }
  // Before p, which may be x, is written.
  const float right =
      w.first * (x[min(max(w.label, 0), k - 1)] - top) + w.second * (x[min(max(w.mixed, 0), k - 1)] - top);
  sum = block_sum(sum, parts);
  total = block_sum(total, parts);
  for (int j = threadIdx.x; j < k; j += blockDim.x) p[j] = expf(x[j] - top) / sum;
  if (threadIdx.x == 0) losses[blockIdx.x] = w.label < 0 ? 0.0f : logf(sum) - right - w.rest * total;
}

// One block.
extern "C" __global__ void softmax_cross_entropy_mean(float* loss, const float* losses, const int* labels, int n) {
  mean_loss(loss, losses, labels, n, 1);
}

// dlogits (N, K) = loss scale (probabilities - target) / rows with a label. Every block counts those anew: a few labels from
// the cache cost less than a launch. scale may be null.
extern "C" __global__ void softmax_cross_entropy_grad(float* dlogits, const float* probabilities, const int* labels,
                                                      const int* mixed, const float* share, const float* scale,
                                                      float smoothing, int n, int k) {
  __shared__ float parts[WARP];
  const float count = counted(labels, n, parts);
  const Targets w(blockIdx.x, labels, mixed, share, smoothing, k);
  const float factor = (scale ? scale[0] : 1.0f) / count;
  const i64 row = i64(blockIdx.x) * k;
  for (int j = threadIdx.x; j < k; j += blockDim.x)
    dlogits[row + j] = w.label < 0 ? 0.0f : factor * (probabilities[row + j] - w.at(j));
}
