// accuracy: correct (3) = rows with a label, rows whose label ranks first among the logits (N, K), and among the first five.
// Of equal logits the lower index ranks before; a NaN logit, or none, at the label is never right. A block ranks a row,
// one more adds them up. Reads the logits once. Caller: accuracy.go.
#include "reduce.cuh"

// rank (N) = how many classes go before the label; K where it is not right, -1 without a label.
extern "C" __global__ void accuracy_rows(int* rank, const float* logits, const int* labels, int k) {
  __shared__ float parts[WARP];
  const float* x = logits + i64(blockIdx.x) * k;
  const int label = labels[blockIdx.x];
  const bool known = label >= 0 && label < k;
  const float own = known ? x[label] : 0.0f;
  float before = 0.0f;  // whole numbers below 2^24
  for (int j = threadIdx.x; j < k; j += blockDim.x) before += x[j] > own || (x[j] == own && j < label) ? 1.0f : 0.0f;
  before = block_sum(before, parts);
  if (threadIdx.x == 0) rank[blockIdx.x] = label < 0 ? -1 : !known || isnan(own) ? k : int(before);
}

// One block.
extern "C" __global__ void accuracy_sum(int* correct, const int* rank, int n, int k) {
  __shared__ float parts[WARP];
  float counted = 0.0f, top1 = 0.0f, top5 = 0.0f;
  for (int i = threadIdx.x; i < n; i += blockDim.x) {
    const bool right = rank[i] >= 0 && rank[i] < k;
    counted += rank[i] >= 0 ? 1.0f : 0.0f;
    top1 += right && rank[i] < 1 ? 1.0f : 0.0f;
    top5 += right && rank[i] < 5 ? 1.0f : 0.0f;
  }
  counted = block_sum(counted, parts);
  top1 = block_sum(top1, parts);
  top5 = block_sum(top5, parts);
  if (threadIdx.x > 0) return;
  correct[0] = int(counted);
  correct[1] = int(top1);
  correct[2] = int(top5);
}
