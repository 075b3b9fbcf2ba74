// y = relu?(gate (conv(x, w) + bias) + residual) as an implicit product (conv_tile.cuh):
//	M = N P Q output pixels, N = K output channels, the reduction over (r, s, c) of R S C elements
// A is x (N, H, W, C), gathered by windows; B is w (K, R, S, C) in the type of maps. Each group of channels is a product
// of its own. Blocks that share pixels run side by side, so x is read about once from device memory, y written once.
// Where a small product leaves multiprocessors idle, blocks share the reduction and write partial sums, and conv_sum
// adds them in a fixed order. Caller: conv.go.
#include "conv_load.cuh"
#include "conv_output.cuh"

struct OutputPixels {
  int plane;  // P Q
  __device__ i64 at(int row) const { return row; }
  __device__ int image(int row) const { return row / plane; }
};

template <class T, bool TENSOR, int BM, int BN, int V>
__device__ void conv_tile(const T* x, const T* w, const float* bias, const float* gate, const T* residual, T* y,
                          float* partial, int relu, int pixels, int H, int W, int C, int P, int Q, int K, int R, int S,
                          int stride, int pad, int groups, int share) {
  enum { DEPTH = Depth<T>::value, OUT = 16 / sizeof(T) };
  SENET_DYNAMIC_SHARED(unsigned char, shared);  // the stages, then the windows of BM rows
  Window* windows = (Window*)(shared + Block<BM, BN>::BYTES);
  const int channels = C / groups, columns = K / groups, depth = R * S * channels;
  const int tiles = (columns + BN - 1) / BN;
  const int first_row = blockIdx.x / tiles * BM, first_col = blockIdx.x % tiles * BN, group = blockIdx.y;
  const int image = first_row / (P * Q);
  for (int i = threadIdx.x; i < BM; i += THREADS) {
    const int row = first_row + i, n = row / (P * Q) - image, top = row / Q % P * stride - pad,
              left = row % Q * stride - pad;
    windows[i].offset = ((n * H + top) * W + left) * C;
    windows[i].y = row < pixels ? top : NOWHERE;
    windows[i].x = left;
  }
  __syncthreads();
  const int stages = (depth + DEPTH - 1) / DEPTH, begin = blockIdx.z * share;
  const int end = begin + share < stages ? begin + share : stages;
  const int column = begin * DEPTH + threadIdx.x % (DEPTH / V) * V;
  WindowTile<T, V, BM> a = {x + (i64)image * H * W * C + group * channels, windows, H, W, C, R, 1,
                            Odometer(column, DEPTH, channels, S)};
  RowTile<T, V, BN> b(w + (i64)group * columns * depth, columns, depth, first_col, begin);
  WarpTile<T, TENSOR, BM, BN, ALONG, ALONG> tile;
  multiply_stages<BM, BN>(tile, shared, end - begin, a, b);
  MapSink<T, OUT, OutputPixels> sink = {{bias, gate, residual, relu, K, {}},
                                        y,
                                        partial ? partial + (i64)blockIdx.z * pixels * K : nullptr,
                                        {P * Q},
                                        pixels,
                                        first_row,
                                        group * columns + first_col};
  drain<BM, BN, OUT>(tile, shared, sink, columns - first_col);
}

#define KERNEL(suffix, T, tensor, BM, BN, V)                                                                      \
  extern "C" __global__ void __launch_bounds__(THREADS, (Occupancy<tensor, BM, BN, V>::BLOCKS))                   \
      conv_##suffix(const T* x, const T* w, const float* bias, const float* gate, const T* residual, T* y,        \
                    float* partial, int relu, int pixels, int H, int W, int C, int P, int Q, int K, int R, int S, \
                    int stride, int pad, int groups, int share) {                                                 \
    conv_tile<T, tensor, BM, BN, V>(x, w, bias, gate, residual, y, partial, relu, pixels, H, W, C, P, Q, K, R, S, \
                                    stride, pad, groups, share);                                                  \
  }
SENET_CONV_KERNELS(KERNEL)
#undef KERNEL

// y = relu?(gate (sum of partial + bias) + residual): partial (splits, pixels, K), an element of the rest as above. With 2
// blocks a multiprocessor as its bounds, the loads of 4 parts are issued together on every architecture without a spill;
// with 3, not on sm_100 and sm_120 (compiled; channel_sums.cuh says why).
template <class T, int V>
__device__ void conv_sum(const float* partial, const float* bias, const float* gate, const T* residual, T* y, int relu,
                         int splits, i64 pixels, int plane, int K) {
  const i64 count = pixels * K / V, step = (i64)gridDim.x * blockDim.x;
  for (i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += step) {
    const i64 pixel = i * V / K;
    const int k = int(i * V % K);
    Epilogue<T, V> epilogue = {bias, gate, residual, relu, K, {}};
    epilogue.start(k);
    const Vec<T, V> loaded = epilogue.ahead(pixel, k);
    float sums[V] = {};
#pragma unroll 4
    for (int split = 0; split < splits; split++) {
      float part[V];
      load_floats(part, partial + split * pixels * K + i * V);
#pragma unroll
      for (int j = 0; j < V; j++) sums[j] += part[j];
    }
    epilogue.apply(sums, loaded, gate ? int(pixel / plane) : 0, k);
    store(y + i * V, sums);
  }
}

#define KERNEL(suffix, T, V)                                                                                           \
  extern "C" __global__ void __launch_bounds__(256, 2)                                                                 \
      conv_sum_##suffix(const float* partial, const float* bias, const float* gate, const T* residual, T* y, int relu, \
                        int splits, i64 pixels, int plane, int K) {                                                    \
    conv_sum<T, V>(partial, bias, gate, residual, y, relu, splits, pixels, plane, K);                                  \
  }
SENET_MAP_KERNELS(KERNEL)
#undef KERNEL
