// excitation: gate (N, C) = sigmoid(w2 relu(w1 z + b1) + b2) with z (N, C), w1 (R, C), w2 (C, R), biases or null, between the
// two passes of bn_se_add_relu over its map, where z is made of the image means on the fly; in inference the second launch
// alone, behind early_squeeze, which leaves w1 z + b1. 4 N C R flops, two launches: the first leaves partial sums over
// stretches of channels, (splits, N, R), which the second adds up. At C = 2048, R = 128 each reads 1 MB of weights.
//   many images: tiles of 32 images, so that weights are read once for 32; at N = 256 67 million multiply-adds a launch,
//   at least 2.3 us at an H100's peak in float32
//   few images: a block for each output of four images, so that every multiprocessor reads weights at once: latency counts
// Indices are int, since (N, C) and weights have fewer than 2^31 elements.
// Callers: excitation.go, bn_se_add_relu.go.
#include "excitation.cuh"

typedef Product<32, 64, true, true> ByChannel;  // many k, few outputs
typedef Product<128, 32, true, true> ByUnit;    // few k, many outputs

// part (splits, N, R): sums of w1 z over stretches of `per` channels. The grid is (R / 32, N / 32, splits).
extern "C" __global__ void __launch_bounds__(PRODUCT_THREADS, 1)
    excitation_hidden(float* part, const float* z, const float* gamma, const float* beta, const float* mean,
                      const float* var, float eps, const float* w1, int n, int c, int r, int per) {
  __shared__ __align__(16) float shared[ByChannel::floats];
  const int unit = blockIdx.x * 32, image = blockIdx.y * TILE, from = blockIdx.z * per;
  const Squeeze squeeze = {z, {gamma, beta, mean, var, eps}, c};
  float* to = part + blockIdx.z * n * r;
  ByChannel::run(
      shared, min(TILE, n - image), min(32, r - unit), from, min(c, from + per), 1,
      [=](int m, int k, int) { return squeeze(image + m, k); }, whole,
      [=](int j, int k) { return w1[(unit + j) * c + k]; }, ignore,
      [=](int m, int j, float sum) { to[(image + m) * r + unit + j] = sum; });
}

// The grid is (R, N / DOT_IMAGES). The bounds let a thread issue more loads together: see channel_sums.cuh.
extern "C" __global__ void __launch_bounds__(256, 4)
    excitation_hidden_few(float* part, const float* z, const float* gamma, const float* beta, const float* mean,
                          const float* var, float eps, const float* w1, int n, int c, int r) {
  __shared__ float parts[WARP];
  const int unit = blockIdx.x, image = blockIdx.y * DOT_IMAGES;
  const Squeeze squeeze = {z, {gamma, beta, mean, var, eps}, c};
  dots(
      parts, min(int(DOT_IMAGES), n - image), c, 1, [=](int m, int k, int) { return squeeze(image + m, k); },
      [=](int k) { return w1[unit * c + k]; }, [=](int m, float sum) { part[(image + m) * r + unit] = sum; });
}

__device__ inline float hidden_of(float sum, const float* b1, int unit) {
  return at_least_zero(b1 ? sum + b1[unit] : sum);
}

__device__ inline float gate_of(float logit, const float* b2, int channel) {
  return 1.0f / (1.0f + expf(-(b2 ? logit + b2[channel] : logit)));
}

// hidden (N, R) is null or gets the units after the ReLU. The grid is (C / 128, N / 32).
extern "C" __global__ void __launch_bounds__(PRODUCT_THREADS, 1)
    excitation_gate(float* gate, float* hidden, const float* part, int splits, const float* b1, const float* w2,
                    const float* b2, int n, int c, int r) {
  __shared__ __align__(16) float shared[ByUnit::floats];
  const int channel = blockIdx.x * 128, image = blockIdx.y * TILE;
  float* kept = blockIdx.x == 0 ? hidden : nullptr;
  ByUnit::run(
      shared, min(TILE, n - image), min(128, c - channel), 0, r, splits,
      [=](int m, int k, int split) { return part[(split * n + image + m) * r + k]; },
      [=](int, int k, float sum) { return hidden_of(sum, b1, k); },
      [=](int j, int k) { return w2[(channel + j) * r + k]; },
      [=](int m, int k, float v) {
        if (kept) kept[(image + m) * r + k] = v;
      },
      [=](int m, int j, float sum) { gate[(image + m) * c + channel + j] = gate_of(sum, b2, channel + j); });
}

// The grid is (C, N / DOT_IMAGES).
extern "C" __global__ void __launch_bounds__(256, 4)
    excitation_gate_few(float* gate, float* hidden, const float* part, const float* b1, const float* w2,
                        const float* b2, int n, int c, int r) {
  __shared__ float parts[WARP];
  const int channel = blockIdx.x, image = blockIdx.y * DOT_IMAGES, images = min(int(DOT_IMAGES), n - image);
  if (hidden && channel == 0) {
    for (int i = threadIdx.x; i < images * r; i += blockDim.x)
      hidden[image * r + i] = hidden_of(part[image * r + i], b1, i % r);
  }
  dots(
      parts, images, r, 1, [=](int m, int k, int) { return hidden_of(part[(image + m) * r + k], b1, k); },
      [=](int k) { return w2[channel * r + k]; },
      [=](int m, float sum) { gate[(image + m) * c + channel] = gate_of(sum, b2, channel); });
}
