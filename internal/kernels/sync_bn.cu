// sync_bn: batch norm over the images of all ranks, as many on each: what stands between the passes of bn_se_add_relu.cu and
// bn_se_add_relu_grad.cu once the ranks have exchanged their numbers of each channel. A few bytes a channel and rank. Every
// rank computes the same bits. Caller: sync_bn.go.
#include "types.cuh"

// all (ranks, maps, 2, C): each rank's mean and variance of y and of a raw projection. The mean of all images is the mean of the
// ranks' means; their variance is the mean of the ranks' variances and squared distances from that mean, none of which cancel.
// Grid: (channels, maps).
extern "C" __global__ void sync_bn_statistics(const float* all, float* mean, float* var, float* mean2, float* var2,
                                              int ranks, int c) {
  const int channel = blockIdx.x * blockDim.x + threadIdx.x, row = 2 * c * gridDim.y;
  if (channel >= c) return;
  const float* of_map = all + 2 * c * blockIdx.y + channel;
  double middle = 0, variance = 0;
  for (int rank = 0; rank < ranks; rank++) middle += of_map[i64(rank) * row];
  middle /= ranks;
  for (int rank = 0; rank < ranks; rank++) {
    const float* of_rank = of_map + i64(rank) * row;
    const double distance = of_rank[0] - middle;
    variance += of_rank[c] + distance * distance;
  }
  (blockIdx.y ? mean2 : mean)[channel] = float(middle);
  (blockIdx.y ? var2 : var)[channel] = float(variance / ranks);
}

// own (maps, 2, C): this rank's dgamma and dbeta, which it keeps; sum is the sum of all ranks'. coefficients (3, C) are gamma r, q
// and u of bn_se_add_relu_grad.cu: what they need is a mean over all ranks' values, of which a rank has count. A gradient may
// be null. Grid: (channels, maps).
extern "C" __global__ void sync_bn_gradient(const float* own, const float* sum, const float* gamma, const float* mean,
                                            const float* var, float eps, float* dgamma, float* dbeta,
                                            float* coefficients, const float* gamma2, const float* mean2,
                                            const float* var2, float eps2, float* dgamma2, float* dbeta2,
                                            float* coefficients2, int ranks, int count, int c) {
  const int channel = blockIdx.x * blockDim.x + threadIdx.x;
  if (channel >= c) return;
  const bool main = blockIdx.y == 0;
  const int at = 2 * c * blockIdx.y + channel;
  float *to_gamma = main ? dgamma : dgamma2, *to_beta = main ? dbeta : dbeta2,
        *to = main ? coefficients : coefficients2;
  if (to_gamma) to_gamma[channel] = own[at];
  if (to_beta) to_beta[channel] = own[at + c];
  const double r = 1.0 / sqrt(double((main ? var : var2)[channel]) + (main ? eps : eps2)),
               slope = (main ? gamma : gamma2)[channel] * r, values = double(count) * ranks, grad = sum[at],
               shift = sum[at + c];
  to[channel] = float(slope);
  to[c + channel] = float(-slope * r * grad / values);
  to[2 * c + channel] = float(slope * ((main ? mean : mean2)[channel] * r * grad - shift) / values);
}
