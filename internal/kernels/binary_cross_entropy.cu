// binary_cross_entropy over logits (N, K), and its gradient, for the targets of targets.cuh: max(x, 0) - x target +
// log(1 + exp(-|x|)), and sigmoid(x) - target, their mean over rows with a label and, unless summed, classes. Above a threshold that is
// not 0 targets become 1, else 0. A block makes a row; one more adds up the rows in order. Caller: binary_cross_entropy.go.
#include "targets.cuh"

__device__ inline float binary_target(const Targets& w, int j, float threshold) {
  const float target = w.at(j);
  if (threshold == 0.0f || isnan(target)) return target;
  return target > threshold ? 1.0f : 0.0f;
}

// losses (N).
extern "C" __global__ void binary_cross_entropy_rows(float* losses, const float* logits, const int* labels,
                                                     const int* mixed, const float* share, float smoothing,
                                                     float threshold, int k) {
  __shared__ float parts[WARP];
  const float* x = logits + i64(blockIdx.x) * k;
  const Targets w(blockIdx.x, labels, mixed, share, smoothing, k);
  float sum = 0.0f;
  for (int j = threadIdx.x; j < k; j += blockDim.x) {
    const float v = x[j];
    sum += (v < 0.0f ? 0.0f : v) - v * binary_target(w, j, threshold) + log1pf(expf(v < 0.0f ? v : -v));
  }
  sum = block_sum(sum, parts);
  if (threadIdx.x == 0) losses[blockIdx.x] = w.label < 0 ? 0.0f : sum;
}

// One block. The mean is over terms addends a row: the classes, or 1.
extern "C" __global__ void binary_cross_entropy_mean(float* loss, const float* losses, const int* labels, int n,
                                                     int terms) {
  mean_loss(loss, losses, labels, n, terms);
}

// dlogits (N, K), times the loss scale, which may be null. Every block counts the rows anew, as in softmax_cross_entropy.
extern "C" __global__ void binary_cross_entropy_grad(float* dlogits, const float* logits, const int* labels,
                                                     const int* mixed, const float* share, const float* scale,
                                                     float smoothing, float threshold, int n, int k, int terms) {
  __shared__ float parts[WARP];
  const float count = counted(labels, n, parts);
  const Targets w(blockIdx.x, labels, mixed, share, smoothing, k);
  const float factor = (scale ? scale[0] : 1.0f) / count / terms;
  const i64 row = i64(blockIdx.x) * k;
  for (int j = threadIdx.x; j < k; j += blockDim.x) {
    const float right = 1.0f / (1.0f + expf(-logits[row + j]));
    dlogits[row + j] = w.label < 0 ? 0.0f : factor * (right - binary_target(w, j, threshold));
  }
}
