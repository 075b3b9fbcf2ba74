// What losses share: the targets of a row of K classes, (1 - e) (share onehot(label) + (1 - share) onehot(mixed)) + e/K, e the
// smoothing, and the mean over rows. Without mixing the share is 1. A label of -1 leaves the row out; one that is no class makes
// everything NaN. Callers: softmax_cross_entropy.cu and binary_cross_entropy.cu, with the arguments of targets in
// softmax_cross_entropy.go.
#pragma once
#include "reduce.cuh"

// CUDA's compiler at run time has no math.h.
#define LOWEST __int_as_float(0xff800000)  // minus infinity
#define NOT_A_NUMBER __int_as_float(0x7fffffff)

struct Targets {
  int label, mixed;
  float first, second, rest;  // of the label, of the mixed one, of every class

  // mixed_labels and share (N) may be null.
  __device__ Targets(int row, const int* labels, const int* mixed_labels, const float* shares, float smoothing, int k) {
    label = labels[row];
    mixed = mixed_labels ? mixed_labels[row] : label;
    const float share = shares ? shares[row] : 1.0f;
    const bool known = label < k && mixed >= 0 && mixed < k;
    first = known ? (1.0f - smoothing) * share : NOT_A_NUMBER;
    second = (1.0f - smoothing) * (1.0f - share);
    rest = known ? smoothing / k : NOT_A_NUMBER;
  }

  __device__ float at(int j) const { return rest + (j == label ? first : 0.0f) + (j == mixed ? second : 0.0f); }
};

// How many of n rows have a label, in every thread.
__device__ inline float counted(const int* labels, int n, float* parts) {
  float count = 0.0f;
  for (int i = threadIdx.x; i < n; i += blockDim.x) count += labels[i] >= 0 ? 1.0f : 0.0f;
  return block_sum(count, parts);
}

// loss (1) = the sum of losses (N) over the rows with a label times terms, 0 without. One block.
__device__ inline void mean_loss(float* loss, const float* losses, const int* labels, int n, int terms) {
  __shared__ float parts[WARP];
  float sum = 0.0f;
  for (int i = threadIdx.x; i < n; i += blockDim.x) sum += losses[i];
  sum = block_sum(sum, parts);
  const float count = counted(labels, n, parts);
  if (threadIdx.x == 0) loss[0] = count > 0.0f ? sum / count / terms : 0.0f;
}
