// excitation_grad: back through the SE block between the two passes of bn_se_add_relu_grad. With A = sum g, B = sum
// g (y - mean) over the pixels of an image, z, hidden, gate as in excitation.cu, all float32:
//   hidden:  dlogit (N, C) = (gamma B / sqrt(var + eps) + beta A) gate (1 - gate);  partial sums of dlogit w2
//   squeeze: dhidden (N, R) = their sum where hidden > 0;  dz (N, C) = dhidden w1
//   weights: dw2 (C, R) = dlogit' hidden, db2 = sum of dlogit;  dw1 (R, C) = dhidden' z, db1 = sum of dhidden, over images
// 8 N C R flops in three launches; at N = 256, C = 2048, R = 128 at least 2.3, 2.3 and 4.6 us, the time of the products at an
// H100's peak. The sums are read as the first pass left them, (N, stretches, kinds, C), so no launch is spent on joining those.
// Caller: bn_se_add_relu_grad.go.
#include "excitation.cuh"

typedef Product<32, 64, true, false> ByChannel;  // sums over channels
typedef Product<128, 32, true, false> ByUnit;    // over hidden units
typedef Product<32, 64, false, false> ByImage;   // over images

// part (parts, N, R): sums of dlogit w2 over stretches of `per` channels. The grid is (R / 32, N / 32, parts).
extern "C" __global__ void __launch_bounds__(PRODUCT_THREADS, 1)
    excitation_grad_hidden(float* part, float* dlogit, const float* sums, int stretches, int kinds, const float* gamma,
                           const float* beta, const float* mean, const float* var, float eps, const float* gate,
                           const float* w2, int n, int c, int r, int per) {
  __shared__ __align__(16) float shared[ByChannel::floats];
  const Norm norm = {gamma, beta, mean, var, eps};
  const int unit = blockIdx.x * 32, image = blockIdx.y * TILE, from = blockIdx.z * per;
  float *to = part + blockIdx.z * n * r, *kept = blockIdx.x == 0 ? dlogit : nullptr;
  ByChannel::run(
      shared, min(int(TILE), n - image), min(32, r - unit), from, min(c, from + per), stretches,
      [=](int m, int k, int stretch) {
        const float* at = sums + ((image + m) * stretches + stretch) * kinds * c + k;
        return fmaf(norm.gamma[k] * deviation(norm, k), at[c], norm.beta[k] * at[0]);
      },
      [=](int m, int k, float sum) {
        const float g = gate[(image + m) * c + k];
        return sum * g * (1.0f - g);
      },
      [=](int j, int k) { return w2[k * r + unit + j]; },
      [=](int m, int k, float v) {
        if (kept) kept[(image + m) * c + k] = v;
      },
      [=](int m, int j, float sum) { to[(image + m) * r + unit + j] = sum; });
}

// The grid is (C / 128, N / 32).
extern "C" __global__ void __launch_bounds__(PRODUCT_THREADS, 1)
    excitation_grad_squeeze(float* dz, float* dhidden, const float* part, int parts, const float* hidden,
                            const float* w1, int n, int c, int r) {
  __shared__ __align__(16) float shared[ByUnit::floats];
  const int channel = blockIdx.x * 128, image = blockIdx.y * TILE;
  float* kept = blockIdx.x == 0 ? dhidden : nullptr;
  ByUnit::run(
      shared, min(int(TILE), n - image), min(128, c - channel), 0, r, parts,
      [=](int m, int k, int split) { return part[(split * n + image + m) * r + k]; },
      [=](int m, int k, float sum) { return hidden[(image + m) * r + k] > 0 ? sum : 0.0f; },
      [=](int j, int k) { return w1[k * c + channel + j]; },
      [=](int m, int k, float v) {
        if (kept) kept[(image + m) * r + k] = v;
      },
      [=](int m, int j, float sum) { dz[(image + m) * c + channel + j] = sum; });
}

// A tile of dw (rows, columns) = sum over images of a(row, image) b(column, image), and of db (rows) = sum of a, each or
// null. tile counts along a row of tiles first.
template <class FA, class FB>
__device__ inline void weight_tile(float* shared, float* dw, float* db, int tile, int rows, int columns, int n, FA a,
                                   FB b) {
  const int tiles = (columns + 31) / 32, row = tile / tiles * TILE, column = tile % tiles * 32;
  float bias = 0;  // of row threadIdx.x % TILE, over the images that this thread fetches
  ByImage::run(
      shared, min(int(TILE), rows - row), min(32, columns - column), 0, n, 1,
      [=](int m, int k, int) { return a(row + m, k); }, whole, [=](int j, int k) { return b(column + j, k); },
      [&](int, int, float v) { bias += v; },
      [=](int m, int j, float sum) {
        if (dw) dw[(row + m) * columns + column + j] = sum;
      });
  __syncthreads();
  shared[threadIdx.x] = bias;
  __syncthreads();
  if (!db || column > 0 || threadIdx.x >= TILE || row + threadIdx.x >= rows) return;
  float sum = 0;
#pragma unroll
  for (int i = 0; i < PRODUCT_THREADS / TILE; i++) sum += shared[i * TILE + threadIdx.x];
  db[row + threadIdx.x] = sum;
}

// The first half of the grid makes the tiles of dw2, the second those of dw1; z is made of the image means again.
extern "C" __global__ void __launch_bounds__(PRODUCT_THREADS, 1)
    excitation_grad_weights(float* dw1, float* db1, float* dw2, float* db2, const float* dlogit, const float* dhidden,
                            const float* hidden, const float* image_mean, const float* gamma, const float* beta,
                            const float* mean, const float* var, float eps, int n, int c, int r) {
  __shared__ __align__(16) float shared[ByImage::floats];
  const Squeeze squeeze = {image_mean, {gamma, beta, mean, var, eps}, c};
  const int half = gridDim.x / 2, tile = blockIdx.x;
  if (tile < half)
    weight_tile(
        shared, dw2, db2, tile, c, r, n, [=](int channel, int k) { return dlogit[k * c + channel]; },
        [=](int unit, int k) { return hidden[k * r + unit]; });
  else
    weight_tile(
        shared, dw1, db1, tile - half, r, c, n, [=](int unit, int k) { return dhidden[k * r + unit]; },
        [=](int channel, int k) { return squeeze(k, channel); });
}
