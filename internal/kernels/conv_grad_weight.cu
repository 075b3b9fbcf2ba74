// dw = the gradient of conv(x, w) by w as a product (conv_tile.cuh):
//	M = K output channels, N = (r, s, c) of R S C elements, the reduction over N P Q output pixels
// A is dy (N, P, Q, K), B is x (N, H, W, C), gathered for each tap; both lie across the reduction. dw is float32
// (K, R, S, C). The reduction is long and the product small, so that blocks share the pixels (blockIdx.z) and write
// partial sums, which conv_grad_weight_sum adds in a fixed order; blocks of one share run side by side and find its
// pixels in the cache. blockIdx.y is the group of channels. db (K), where wanted, is the sum of dy over pixels.
// Moves x and dy, about once, the partial sums and dw. Caller: conv_grad_weight.go.
#include "conv_load.cuh"
#include "conv_output.cuh"

// The sink of a tile of dw.
template <int V>
struct WeightSink {
  struct Ahead {};
  float* dw;  // (rows, columns), the tile's first element
  int rows, columns;

  __device__ void start(int) {}
  __device__ Ahead ahead(int, int) const { return {}; }
  __device__ void put(int m, int n, float (&sums)[V], Ahead) const {
    if (m < rows) store_floats(dw + (i64)m * columns + n, sums);
  }
  __device__ void put_one(int m, int n, float sum) const {
    if (m < rows) dw[(i64)m * columns + n] = sum;
  }
};

template <class T, bool TENSOR, int BM, int BN, int V>
__device__ void conv_grad_weight_tile(const T* dy, const T* x, float* dw, int N, int H, int W, int C, int P, int Q,
                                      int K, int R, int S, int stride, int pad, int groups, int share) {
  enum { DEPTH = Depth<T>::value };
  SENET_DYNAMIC_SHARED(unsigned char, shared);
  const int channels = C / groups, rows = K / groups, columns = R * S * channels, group = blockIdx.y;
  const int tiles = (columns + BN - 1) / BN;
  const int first_row = blockIdx.x / tiles * BM, first_col = blockIdx.x % tiles * BN;
  const int pixels = N * P * Q, stages = (pixels + DEPTH - 1) / DEPTH, begin = blockIdx.z * share;
  const int end = begin + share < stages ? begin + share : stages;
  typedef PixelTile<T, V, BM> Pixels;
  Pixels a = {dy + group * rows, pixels, rows, K, first_row, begin * DEPTH + (int)threadIdx.x / Pixels::COLUMNS};
  typedef TapTile<T, V, BN> Taps;
  const int column = first_col + threadIdx.x % Taps::COLUMNS * V, tap = column / channels;
  Taps b = {x + group * channels + column % channels,
            N,
            H,
            W,
            C,
            stride,
            tap / S - pad,
            tap % S - pad,
            column < columns,
            Odometer(begin * DEPTH + threadIdx.x / Taps::COLUMNS, Taps::PASS, Q, P)};
  WarpTile<T, TENSOR, BM, BN, ACROSS, ACROSS> tile;
  multiply_stages<BM, BN>(tile, shared, end - begin, a, b);
  const i64 at = (((i64)blockIdx.z * groups + group) * rows + first_row) * columns + first_col;
  WeightSink<4> sink = {dw + at, rows - first_row, columns};
  drain<BM, BN, 4>(tile, shared, sink, columns - first_col);
}

#define KERNEL(suffix, T, tensor, BM, BN, V)                                                                         \
  extern "C" __global__ void __launch_bounds__(THREADS, (Occupancy<tensor, BM, BN, V>::BLOCKS))                      \
      conv_grad_weight_##suffix(const T* dy, const T* x, float* dw, int N, int H, int W, int C, int P, int Q, int K, \
                                int R, int S, int stride, int pad, int groups, int share) {                          \
    conv_grad_weight_tile<T, tensor, BM, BN, V>(dy, x, dw, N, H, W, C, P, Q, K, R, S, stride, pad, groups, share);   \
  }
SENET_CONV_KERNELS(KERNEL)
#undef KERNEL

// out = sum of parts: (shares, count) to (count), in a fixed order. The lanes of a warp take neighbours, the block's 8
// warps every eighth share. A thread's loads of 8 shares are issued together: the bounds leave it the registers
// (channel_sums.cuh), and no branch lies between, since lanes beyond count load the last element too.
extern "C" __global__ void __launch_bounds__(256, 4)
    conv_grad_weight_sum(const float* parts, float* out, int shares, int count) {
  __shared__ float sums[8][32];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  for (int first = blockIdx.x * 32; first < count; first += gridDim.x * 32) {
    const int i = first + lane, within = min(i, count - 1);
    float sum = 0;
#pragma unroll 8
    for (int share = warp; share < shares; share += 8) sum += parts[(i64)share * count + within];
    sums[warp][lane] = sum;
    __syncthreads();
    if (warp == 0 && i < count) {
      float total = 0;
      for (int j = 0; j < 8; j++) total += sums[j][lane];
      out[i] = total;
    }
    __syncthreads();
  }
}

// Sums dy (pixels, K) over the pixels of each of gridDim.y shares: parts (shares, K). The 32 lanes of a warp take V
// neighbouring channels each, the block's 8 warps every eighth pixel; the bounds are as of conv_grad_weight_sum.
template <class T, int V>
__device__ void conv_grad_weight_bias(const T* dy, float* parts, int pixels, int K) {
  __shared__ float sums[8][32 * V];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, k = (blockIdx.x * 32 + lane) * V;
  const int share = (pixels + gridDim.y - 1) / gridDim.y, begin = blockIdx.y * share;
  const int end = begin + share < pixels ? begin + share : pixels;
  float sum[V] = {};
  if (k < K) {
#pragma unroll 4
    for (int i = begin + warp; i < end; i += 8) {
      float x[V];
      load(x, dy + (i64)i * K + k);
#pragma unroll
      for (int j = 0; j < V; j++) sum[j] += x[j];
    }
  }
#pragma unroll
  for (int j = 0; j < V; j++) sums[warp][j * 32 + lane] = sum[j];
  __syncthreads();
  for (int i = threadIdx.x; i < 32 * V; i += 256) {
    const int channel = (blockIdx.x * 32 + i % 32) * V + i / 32;
    float total = 0;
    for (int j = 0; j < 8; j++) total += sums[j][i];
    if (channel < K) parts[(i64)blockIdx.y * K + channel] = total;
  }
}

#define KERNEL(suffix, T, V)                                                         \
  extern "C" __global__ void __launch_bounds__(256, 4)                               \
      conv_grad_weight_bias_##suffix(const T* dy, float* parts, int pixels, int K) { \
    conv_grad_weight_bias<T, V>(dy, parts, pixels, K);                               \
  }
SENET_MAP_KERNELS(KERNEL)
#undef KERNEL
