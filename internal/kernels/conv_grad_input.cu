// dx = the gradient of conv(x, w) by x as an implicit product (conv_tile.cuh):
//	M = N H W input pixels, N = C input channels, the reduction over (r, s, k) of R S K elements
// A is dy (N, P, Q, K), gathered by windows whose taps go backwards; B is w (K, R, S, C) in the type of maps, across k.
// With a stride, pixel h is reached by the taps r with (h + pad - r) % stride == 0 alone: the pixels of one residue by y
// and one by x are a product of their own, with stride 1 and no product wasted. blockIdx.y is the group of channels times
// the stride^2 residues, blockIdx.z the share of the reduction where blocks split it; conv_sum (conv.cu) then adds.
// Moves dy, about once, w and dx. Caller: conv_grad_input.go.
#include "conv_load.cuh"
#include "conv_output.cuh"

// The pixels of a map that have one residue along one axis.
struct Residue {
  int first, count;  // pixels first, first + stride, ...
  int tap, taps;     // taps tap, tap + stride, ... of the filter
  int from;          // where in dy the first pixel meets the first tap

  __device__ Residue(int residue, int size, int filter, int stride, int pad)
      : first(residue),
        count((size - residue + stride - 1) / stride),
        tap((residue + pad) % stride),
        taps(filter > tap ? (filter - tap + stride - 1) / stride : 0),
        from((residue + pad) / stride) {}
};

struct InputPixels {
  int rows, columns;         // of the residues
  int first_row, first_col;  // their first pixel
  int H, W, stride;
  __device__ i64 at(int row) const {
    if (stride == 1) return row;
    const int x = row % columns * stride + first_col, y = row / columns % rows * stride + first_row;
    return ((i64)(row / columns / rows) * H + y) * W + x;
  }
  __device__ int image(int) const { return 0; }  // no gate
};

template <class T, bool TENSOR, int BM, int BN, int V>
__device__ void conv_grad_input_tile(const T* dy, const T* w, T* dx, float* partial, int N, int H, int W, int C, int P,
                                     int Q, int K, int R, int S, int stride, int pad, int groups, int share) {
  enum { DEPTH = Depth<T>::value, OUT = 16 / sizeof(T) };
  SENET_DYNAMIC_SHARED(unsigned char, shared);  // the stages, then the windows of BM rows
  Window* windows = (Window*)(shared + Block<BM, BN>::BYTES);
  const int residues = stride * stride, group = blockIdx.y / residues, residue = blockIdx.y % residues;
  const Residue v(residue / stride, H, R, stride, pad), h(residue % stride, W, S, stride, pad);
  const int columns = C / groups, channels = K / groups, tiles = (columns + BN - 1) / BN;
  const int first_row = blockIdx.x / tiles * BM, first_col = blockIdx.x % tiles * BN;
  const int plane = v.count * h.count, rows = N * plane, depth = v.taps * h.taps * channels;
  if (first_row >= rows) return;
  const int image = first_row / plane;
  for (int i = threadIdx.x; i < BM; i += THREADS) {
    const int row = first_row + i, n = row / plane - image;
    const int y = row / h.count % v.count + v.from, x = row % h.count + h.from;
    windows[i].offset = ((n * P + y) * Q + x) * K;
    windows[i].y = row < rows ? y : NOWHERE;
    windows[i].x = x;
  }
  __syncthreads();
  const int stages = (depth + DEPTH - 1) / DEPTH, begin = blockIdx.z * share;
  const int end = begin + share < stages ? begin + share : stages;
  const int taps = h.taps > 0 ? h.taps : 1;
  const int column = begin * DEPTH + threadIdx.x % (DEPTH / V) * V;
  WindowTile<T, V, BM> a = {dy + (i64)image * P * Q * K + group * channels, windows, P, Q, K, v.taps, -1,
                            Odometer(column, DEPTH, channels, taps)};
  typedef FilterTile<T, V, BN> Filter;
  const int row = begin * DEPTH + threadIdx.x / Filter::COLUMNS;
  Filter b = {w + ((group * channels * R + v.tap) * S + h.tap) * columns,
              columns,
              first_col,
              R,
              S,
              stride,
              v.taps,
              Odometer(row, Filter::PASS, channels, taps)};
  WarpTile<T, TENSOR, BM, BN, ALONG, ACROSS> tile;
  multiply_stages<BM, BN>(tile, shared, end - begin, a, b);
  MapSink<T, OUT, InputPixels> sink = {{nullptr, nullptr, nullptr, 0, C, {}},
                                       dx,
                                       partial ? partial + (i64)blockIdx.z * N * H * W * C : nullptr,
                                       {v.count, h.count, v.first, h.first, H, W, stride},
                                       rows,
                                       first_row,
                                       group * columns + first_col};
  drain<BM, BN, OUT>(tile, shared, sink, columns - first_col);
}

#define KERNEL(suffix, T, tensor, BM, BN, V)                                                                       \
  extern "C" __global__ void __launch_bounds__(THREADS, (Occupancy<tensor, BM, BN, V>::BLOCKS))                    \
      conv_grad_input_##suffix(const T* dy, const T* w, T* dx, float* partial, int N, int H, int W, int C, int P,  \
                               int Q, int K, int R, int S, int stride, int pad, int groups, int share) {           \
    conv_grad_input_tile<T, tensor, BM, BN, V>(dy, w, dx, partial, N, H, W, C, P, Q, K, R, S, stride, pad, groups, \
                                               share);                                                             \
  }
SENET_CONV_KERNELS(KERNEL)
#undef KERNEL
