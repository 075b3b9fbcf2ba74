// early_squeeze: out (N, K) = mean over pixels of conv(x (N, H, W, C), w (K, R, S, C)) + bias, without the
// convolution: a sum over pixels commutes with it, so each window position (r, s) needs only the sum of x over the pixels
// that it meets. One read of x, then 2 N K R S C flops in float32.
//   kernel 1, stride 1: the sums of global_avg_pool.cu, whose stretches the product adds up: two launches
//   others: rows of x for each s, then of those the rows that each r meets, then the product
// At batch 1 the last block of SE-ResNet-50 (512 to 2048 channels) reads 4 MB of weights, which stay in the L2 cache: what
// counts is how few loads wait for one another. Caller: early_squeeze.go.
#include "excitation.cuh"

// to (N, H, S, C): sums over the columns of a row of x that window column s meets. The grid is (N H, channels, S).
template <int W, class T>
__device__ inline void rows(float* to, const T* x, int width, int c, int columns, int stride, int pad) {
  __shared__ float exchange[W * STRETCH_THREADS / 2];
  const int channel = int(blockIdx.y * blockDim.x + threadIdx.x) * W, s = blockIdx.z;
  const bool on = channel < c;
  const T* row = x + i64(blockIdx.x) * width * c + channel;
  float v[W] = {};
#pragma unroll 4
  for (int q = threadIdx.y; q < columns; q += blockDim.y) {
    const int column = q * stride - pad + s;
    if (on && column >= 0 && column < width) {
      const Packed<T, W> pixel = fetch<W>(row + i64(column) * c);
#pragma unroll
      for (int i = 0; i < W; i++) v[i] += element(pixel, i);
    }
  }
  sum_rows(v, exchange);
  if (on && threadIdx.y == 0) store(to + (i64(blockIdx.x) * gridDim.z + s) * c + channel, v);
}

#define SENET_KERNELS(suffix, T, W)                                                                            \
  extern "C" __global__ void __launch_bounds__(STRETCH_THREADS)                                                \
      early_squeeze_rows_##suffix(float* to, const T* x, int width, int c, int columns, int stride, int pad) { \
    rows<W>(to, x, width, c, columns, stride, pad);                                                            \
  }
SENET_MAP_KERNELS(SENET_KERNELS)

// to (N, R, S, C), the order of weights, from rows (N, H, S, C); lines is P, the rows of the output.
extern "C" __global__ void early_squeeze_windows(float* to, const float* rows, i64 count, int h, int c, int r, int s,
                                                 int lines, int stride, int pad) {
  const i64 step = i64(gridDim.x) * blockDim.x;
  const int window = r * s;
  for (i64 i = i64(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += step) {
    const int channel = int(i % c), at = int(i / c % window);
    const i64 image = i / c / window;
    float sum = 0;
    for (int p = 0; p < lines; p++) {
      const int y = p * stride - pad + at / s;
      if (y >= 0 && y < h) sum += rows[((image * h + y) * s + at % s) * c + channel];
    }
    to[i] = sum;
  }
}

// What both kernels below take: sums (N, splits, count), w (outputs, count), bias (outputs), out (N, outputs).
// out = share * sums w + bias.
#define SENET_PRODUCT                                                                                           \
  (float* out, const float* sums, int splits, const float* w, const float* bias, float share, int n, int count, \
   int outputs)

typedef Product<32, 64, true, true> ByChannel;

// Many images. The grid is (outputs / 32, N / 32).
extern "C" __global__ void __launch_bounds__(PRODUCT_THREADS, 1) early_squeeze SENET_PRODUCT {
  __shared__ __align__(16) float shared[ByChannel::floats];
  const int first = blockIdx.x * 32, image = blockIdx.y * TILE;
  const float* from = sums + i64(image) * splits * count;
  ByChannel::run(
      shared, min(int(TILE), n - image), min(32, outputs - first), 0, count, splits,
      [=](int m, int k, int split) { return from[(m * splits + split) * count + k]; }, whole,
      [=](int j, int k) { return w[i64(first + j) * count + k]; }, ignore,
      [=](int m, int j, float sum) { out[i64(image + m) * outputs + first + j] = sum * share + bias[first + j]; });
}

// Few images: a block makes one output of four. The grid is (outputs, N / DOT_IMAGES). Compiled with these bounds, a
// thread's 16 loads of 4 stretches go out together on every architecture.
extern "C" __global__ void __launch_bounds__(256, 2) early_squeeze_few SENET_PRODUCT {
  __shared__ float parts[WARP];
  const int output = blockIdx.x, image = blockIdx.y * DOT_IMAGES;
  const float* from = sums + i64(image) * splits * count;
  dots(
      parts, min(int(DOT_IMAGES), n - image), count, splits,
      [=](int m, int k, int split) { return from[(m * splits + split) * count + k]; },
      [=](int k) { return w[i64(output) * count + k]; },
      [=](int m, float sum) { out[i64(image + m) * outputs + output] = sum * share + bias[output]; });
}
