// linear: out (N, O) = x (N, I) w' + bias for w (O, I), and its gradients dx = dy w, dw = dy' x and db, the sums of dy's
// columns. All float32. Each is a product C (M, N) = A B over K in tiles of 64 x 64 that walk along K, 16 at a time; a
// thread makes 4 x 4 of a tile. Where C has too few tiles to fill the device, K is split over blockIdx.z into partial
// products, which linear_sum adds in order. Reads A and B once for each tile that needs them. Caller: linear.go.
#include "walk.cuh"

enum { TILE = 64, DEPTH = 16, THREADS = 256, PITCH = TILE + 4 };  // PITCH: rows stay 16-byte aligned

// Four neighbours of a row-major matrix with rows of length pitch; 0 from row_end and column_end on. With W = 4 the
// neighbours are all there or all beyond.
template <int W>
__device__ inline void load4(float (&to)[4], const float* from, int pitch, int row, int row_end, int column,
                             int column_end) {
#pragma unroll
  for (int j = 0; j < 4; j++) to[j] = 0.0f;
  if (row >= row_end || column >= column_end) return;
  const float* at = from + i64(row) * pitch + column;
  if constexpr (W == 4) {
    load(to, at);
  } else {
#pragma unroll
    for (int j = 0; j < 4; j++) to[j] = column + j < column_end ? at[j] : 0.0f;
  }
}

// One operand's part of a tile: TILE rows of the product and DEPTH along K. ALONG_K: it lies (rows, K) in memory, else
// (K, rows). A thread holds 4 neighbours in memory.
template <int W, bool ALONG_K>
struct Operand {
  const float* from;
  int rows, k;  // of the matrix
  float held[4];

  __device__ void fetch(int row, int at, int end) {
    const int t = threadIdx.x;
    if (ALONG_K) {
      load4<W>(held, from, k, row + t / 4, rows, at + t % 4 * 4, end);
    } else {
      load4<W>(held, from, rows, at + t / 16, end, row + t % 16 * 4, rows);
    }
  }

  __device__ void put(float (*tile)[PITCH]) const {
    const int t = threadIdx.x;
    if constexpr (ALONG_K) {
#pragma unroll
      for (int j = 0; j < 4; j++) tile[t % 4 * 4 + j][t / 4] = held[j];
    } else {
      store(&tile[t / 16][t % 16 * 4], held);
    }
  }
};

// Stores four neighbours of a row of length columns as far as it goes.
template <int W>
__device__ inline void store4(float* row, const float (&from)[4], int column, int columns) {
  if (column >= columns) return;
  if constexpr (W == 4) {
    store(row + column, from);
  } else {
#pragma unroll
    for (int j = 0; j < 4; j++) {
      if (column + j < columns) row[column + j] = from[j];
    }
  }
}

// out (m, n) = a b + bias (n), of this block's stretch of k elements; sums (m) = the sums of a over it. bias and sums may be
// null. A block of x = 0 makes its rows' sums.
template <int W, bool A_ALONG_K, bool B_ALONG_K>
__device__ inline void product(float* out, float* sums, const float* a, const float* b, const float* bias, int m, int n,
                               int k, int stretch) {
  __shared__ __align__(16) float left[DEPTH][PITCH];
  __shared__ __align__(16) float right[DEPTH][PITCH];
  const int row = blockIdx.y * TILE, column = blockIdx.x * TILE;
  const int tile_row = threadIdx.x / 16 * 4, tile_column = threadIdx.x % 16 * 4;
  const int begin = blockIdx.z * stretch, end = min(k, begin + stretch);
  const bool sums_here = sums && blockIdx.x == 0 && threadIdx.x < TILE;
  Operand<W, A_ALONG_K> x = {a, m, k, {}};
  Operand<W, B_ALONG_K> y = {b, n, k, {}};
  float total[4][4] = {}, sum = 0.0f;
  x.fetch(row, begin, end);
  y.fetch(column, begin, end);
  for (int at = begin; at < end; at += DEPTH) {
    x.put(left);
    y.put(right);
    __syncthreads();
    x.fetch(row, at + DEPTH, end);  // while this part is multiplied
    y.fetch(column, at + DEPTH, end);
#pragma unroll
    for (int d = 0; d < DEPTH; d++) {
      float p[4], q[4];
      load(p, &left[d][tile_row]);
      load(q, &right[d][tile_column]);
#pragma unroll
      for (int i = 0; i < 4; i++) {
#pragma unroll
        for (int j = 0; j < 4; j++) total[i][j] += p[i] * q[j];
      }
    }
    if (sums_here) {
      for (int d = 0; d < DEPTH; d++) sum += left[d][threadIdx.x];
    }
    __syncthreads();
  }
  if (sums_here && row + threadIdx.x < m) sums[i64(blockIdx.z) * m + row + threadIdx.x] = sum;
  float added[4] = {};
  if (bias) load4<W>(added, bias, n, 0, 1, column + tile_column, n);
  out += i64(blockIdx.z) * m * n;
#pragma unroll
  for (int i = 0; i < 4; i++) {
#pragma unroll
    for (int j = 0; j < 4; j++) total[i][j] += added[j];
    if (row + tile_row + i < m) store4<W>(out + i64(row + tile_row + i) * n, total[i], column + tile_column, n);
  }
}

#define SENET_KERNELS(suffix, W)                                                                                 \
  extern "C" __global__ void __launch_bounds__(THREADS) linear_##suffix(                                         \
      float* out, const float* x, const float* w, const float* bias, int n, int o, int i, int stretch) {         \
    product<W, true, true>(out, nullptr, x, w, bias, n, o, i, stretch);                                          \
  }                                                                                                              \
  extern "C" __global__ void __launch_bounds__(THREADS)                                                          \
      linear_grad_input_##suffix(float* dx, const float* dy, const float* w, int n, int i, int o, int stretch) { \
    product<W, true, false>(dx, nullptr, dy, w, nullptr, n, i, o, stretch);                                      \
  }                                                                                                              \
  extern "C" __global__ void __launch_bounds__(THREADS) linear_grad_weight_##suffix(                             \
      float* dw, float* db, const float* dy, const float* x, int o, int i, int n, int stretch) {                 \
    product<W, false, false>(dw, db, dy, x, nullptr, o, i, n, stretch);                                          \
  }
SENET_KERNELS(f32x4, 4)
SENET_KERNELS(f32x1, 1)

// out (count) = the sum of `splits` partial products + bias, which repeats every `columns`, or null.
extern "C" __global__ void linear_sum(float* out, const float* partial, const float* bias, int splits, int columns,
                                      i64 count) {
  each<1>(count, [=](i64 i) {
    float sum = 0.0f;
    for (int s = 0; s < splits; s++) sum += partial[s * count + i];
    out[i] = bias ? sum + bias[i % columns] : sum;
  });
}
