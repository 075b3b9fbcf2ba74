// The product that convolutions run: a block of 128 threads computes a tile (BM, BN) of C = A B by stepping along k in
// stages of 64 bytes a row, 32 elements of 16 bits or 16 floats. Asynchronous copies fill STAGES - 1 stages ahead in
// shared memory; 2 x 2 warps compute a quarter of the tile each, on the tensor cores or, in float32, with plain
// multiply-adds.
//
// A tile of A or B lies in shared memory along k, rows of m or n and columns of k, or across, rows of k and columns of
// m or n, as its source lies in device memory. Its 16-byte chunks are permuted in each row so that neither the copies
// nor the loads of fragments meet a bank twice.
#pragma once
#include "mma.cuh"

enum { THREADS = 128, ROW_BYTES = 64, CHUNK = 16 };

enum Layout { ALONG, ACROSS };

// Elements of a stage along k.
template <class T>
struct Depth {
  enum { value = ROW_BYTES / sizeof(T) };
};

// The byte of element (row, k) in a tile that lies along k.
template <class T>
__device__ inline int along(int row, int k) {
  const int chunk = k * (int)sizeof(T) / CHUNK;
  return row * ROW_BYTES + (chunk ^ (row >> 1 & 3)) * CHUNK + k * (int)sizeof(T) % CHUNK;
}

// The byte of element (k, column) in a tile of `width` columns that lies across k.
template <class T, int width>
__device__ inline int across(int k, int column) {
  const int chunk = column * (int)sizeof(T) / CHUNK, flip = sizeof(T) == 2 ? k & 7 : 2 * (k & 3);
  return k * width * (int)sizeof(T) + (chunk ^ flip) * CHUNK + column * (int)sizeof(T) % CHUNK;
}

// A position in three nested loops, the fastest `low`, that moves a constant number of iterations at a time.
struct Odometer {
  int low, mid, high;
  int lows, mids;  // iterations of a loop
  int low_step, mid_step, high_step;

  __device__ Odometer(int start, int step, int lows, int mids)
      : low(start % lows),
        mid(start / lows % mids),
        high(start / lows / mids),
        lows(lows),
        mids(mids),
        low_step(step % lows),
        mid_step(step / lows % mids),
        high_step(step / lows / mids) {}

  __device__ void advance() {
    low += low_step;
    mid += mid_step;
    high += high_step;
    if (low >= lows) low -= lows, mid++;
    if (mid >= mids) mid -= mids, high++;
  }
};

// A warp's quarter (WM, WN) of the tile on the tensor cores. T is the type of elements; float runs as tf32.
template <class T, bool TENSOR, int BM, int BN, Layout A, Layout B>
struct WarpTile {
  enum { WM = BM / 2, WN = BN / 2, STEPS = 2, STEP = Depth<T>::value / STEPS };
  float c[WM / 16][WN / 8][4];

  __device__ WarpTile() {
#pragma unroll
    for (int i = 0; i < WM / 16 * (WN / 8) * 4; i++) (&c[0][0][0])[i] = 0;
  }

  // Adds the product of a stage. (m, n) is the warp's origin in the tile.
  __device__ void multiply(const unsigned char* a, const unsigned char* b, int m, int n) {
#pragma unroll
    for (int step = 0; step < STEPS; step++) {
      unsigned rows[WM / 16][4], columns[WN / 8][2];
#pragma unroll
      for (int i = 0; i < WM / 16; i++) load_rows(rows[i], a, m + 16 * i, step * STEP);
#pragma unroll
      for (int j = 0; j < WN / 8; j += 2) load_columns(columns[j], columns[j + 1], b, n + 8 * j, step * STEP);
#pragma unroll
      for (int i = 0; i < WM / 16; i++)
#pragma unroll
        for (int j = 0; j < WN / 8; j++) warp_multiply<T>(c[i][j], rows[i], columns[j]);
    }
  }

  // Loads the fragment of rows m to m + 15 at k.
  __device__ static void load_rows(unsigned (&to)[4], const unsigned char* a, int m, int k) {
    const int lane = threadIdx.x % 32, row = lane % 8, odd = lane / 8 % 2, high = lane / 16;
    if (A == ALONG) {
      warp_load(to, a + along<T>(m + 8 * odd + row, k + high * STEP / 2));
    } else if (sizeof(T) == 2) {
      warp_load_transposed(to, a + across<T, BM>(k + 8 * high + row, m + 8 * odd));
    } else {
#pragma unroll
      for (int i = 0; i < 4; i++)
        to[i] = *(const unsigned*)(a + across<T, BM>(k + i / 2 * 4 + lane % 4, m + i % 2 * 8 + lane / 4));
    }
    if (sizeof(T) == 4) {
#pragma unroll
      for (int i = 0; i < 4; i++) to[i] = round_tf32(to[i]);
    }
  }

  // Loads the fragments of columns n to n + 7 and n + 8 to n + 15 at k.
  __device__ static void load_columns(unsigned (&left)[2], unsigned (&right)[2], const unsigned char* b, int n, int k) {
    const int lane = threadIdx.x % 32, row = lane % 8, odd = lane / 8 % 2, high = lane / 16;
    unsigned to[4];
    if (B == ALONG) {
      warp_load(to, b + along<T>(n + 8 * high + row, k + odd * STEP / 2));
    } else if (sizeof(T) == 2) {
      warp_load_transposed(to, b + across<T, BN>(k + 8 * odd + row, n + 8 * high));
    } else {
#pragma unroll
      for (int i = 0; i < 4; i++)
        to[i] = *(const unsigned*)(b + across<T, BN>(k + i % 2 * 4 + lane % 4, n + i / 2 * 8 + lane / 4));
    }
#pragma unroll
    for (int i = 0; i < 2; i++) {
      left[i] = sizeof(T) == 4 ? round_tf32(to[i]) : to[i];
      right[i] = sizeof(T) == 4 ? round_tf32(to[2 + i]) : to[2 + i];
    }
  }

  // Writes rows 16 i to 16 i + 15 of the quarter.
  __device__ void write(float* to, int pitch, int i) const {
    const int lane = threadIdx.x % 32;
    to += lane / 4 * pitch + lane % 4 * 2;
#pragma unroll
    for (int j = 0; j < WN / 8; j++)
#pragma unroll
      for (int half = 0; half < 2; half++) {
        const float pair[2] = {c[i][j][2 * half], c[i][j][2 * half + 1]};
        store(to + 8 * half * pitch + 8 * j, pair);
      }
  }
};

// Likewise with float32 products: a thread has 8 or 4 rows and 8 columns of the quarter.
template <int BM, int BN, Layout A, Layout B>
struct WarpTile<float, false, BM, BN, A, B> {
  enum { WM = BM / 2, WN = BN / 2, ROWS = WM / 8, COLUMNS = WN / 4 };
  float c[ROWS][COLUMNS];

  __device__ WarpTile() {
#pragma unroll
    for (int i = 0; i < ROWS * COLUMNS; i++) (&c[0][0])[i] = 0;
  }

  __device__ void multiply(const unsigned char* a, const unsigned char* b, int m, int n) {
    const int row = threadIdx.x % 32 / 4, column = threadIdx.x % 4;
#pragma unroll 1
    for (int k = 0; k < Depth<float>::value; k += 4) {
      float x[ROWS][4];  // over k
#pragma unroll
      for (int i = 0; i < ROWS && A == ALONG; i++) load(x[i], (const float*)(a + along<float>(m + 8 * i + row, k)));
#pragma unroll
      for (int j = 0; j < COLUMNS && B == ALONG; j++) {
        float w[4];
        load(w, (const float*)(b + along<float>(n + 4 * j + column, k)));
#pragma unroll
        for (int l = 0; l < 4; l++)
#pragma unroll
          for (int i = 0; i < ROWS; i++) c[i][j] += x[i][l] * w[l];
      }
#pragma unroll
      for (int l = 0; l < 4 && B == ACROSS; l++) {
#pragma unroll
        for (int i = 0; i < ROWS && A == ACROSS; i += 2) {
          float pair[2];
          load(pair, (const float*)(a + across<float, BM>(k + l, m + 8 * i + 2 * row)));
          x[i][l] = pair[0];
          x[i + 1][l] = pair[1];
        }
#pragma unroll
        for (int j = 0; j < COLUMNS; j += 4) {
          float w[4];
          load(w, (const float*)(b + across<float, BN>(k + l, n + 4 * (j + column))));
#pragma unroll
          for (int i = 0; i < ROWS; i++)
#pragma unroll
            for (int v = 0; v < 4; v++) c[i][j + v] += x[i][l] * w[v];
        }
      }
    }
  }

  __device__ void write(float* to, int pitch, int i) const {
    const int row = threadIdx.x % 32 / 4, column = threadIdx.x % 4;
#pragma unroll
    for (int half = 0; half < 2; half++)
#pragma unroll
      for (int j = 0; j < COLUMNS; j++) {
        const int y = A == ALONG ? 8 * half + row : 2 * row + half;
        const int x = B == ALONG ? 4 * j + column : j / 4 * 16 + 4 * column + j % 4;
        to[y * pitch + x] = c[2 * i + half][j];
      }
  }
};

// What a block needs.
template <int BM, int BN>
struct Block {
  enum {
    STAGES = BM * BN == 128 * 128 ? 3 : 4,  // 48, 48 and 32 KiB: two to three blocks on the smallest multiprocessor
    STAGE_BYTES = (BM + BN) * ROW_BYTES,
    BYTES = STAGES * STAGE_BYTES,
  };
};

// Blocks on a multiprocessor, as registers allow: one less where threads multiply or gather element by element.
template <bool TENSOR, int BM, int BN, int V>
struct Occupancy {
  enum { BLOCKS = (BM * BN == 128 * 128 ? 2 : BM * BN == 128 * 64 ? 3 : 4) - (TENSOR && V > 1 ? 0 : 1) };
};

// Multiplies `stages` stages; a(tile) and b(tile) copy the next stage of A and B. At the end no copy is under way and
// no thread reads shared memory any more.
template <int BM, int BN, class Tile, class LoadA, class LoadB>
__device__ inline void multiply_stages(Tile& tile, unsigned char* shared, int stages, LoadA a, LoadB b) {
  enum { STAGES = Block<BM, BN>::STAGES, STAGE_BYTES = Block<BM, BN>::STAGE_BYTES, B_AT = BM * ROW_BYTES };
  const int warp = threadIdx.x / 32, m = warp / 2 * (BM / 2), n = warp % 2 * (BN / 2);
  int from = 0, to = 0;  // stages in shared memory to read and to fill next
#pragma unroll 1
  for (int i = 0; i < STAGES - 1; i++) {
    if (i < stages) {
      a(shared + to * STAGE_BYTES);
      b(shared + to * STAGE_BYTES + B_AT);
    }
    copy_commit();
    to++;
  }
#pragma unroll 1
  for (int i = 0; i < stages; i++) {
    copy_wait<STAGES - 2>();
    __syncthreads();
    if (i + STAGES - 1 < stages) {
      a(shared + to * STAGE_BYTES);
      b(shared + to * STAGE_BYTES + B_AT);
    }
    copy_commit();
    tile.multiply(shared + from * STAGE_BYTES, shared + from * STAGE_BYTES + B_AT, m, n);
    if (++to == STAGES) to = 0;
    if (++from == STAGES) from = 0;
  }
  copy_wait<0>();
  __syncthreads();
}

// The kernels that convolutions are compiled to: X(suffix, type, tensor cores, BM, BN, elements of a copy).
#define SENET_CONV_KERNELS(X)                 \
  X(128x128_bf16x8, bf16, true, 128, 128, 8)  \
  X(128x64_bf16x8, bf16, true, 128, 64, 8)    \
  X(64x64_bf16x8, bf16, true, 64, 64, 8)      \
  X(64x64_bf16x1, bf16, true, 64, 64, 1)      \
  X(128x128_f16x8, f16, true, 128, 128, 8)    \
  X(128x64_f16x8, f16, true, 128, 64, 8)      \
  X(64x64_f16x8, f16, true, 64, 64, 8)        \
  X(64x64_f16x1, f16, true, 64, 64, 1)        \
  X(128x128_tf32x4, float, true, 128, 128, 4) \
  X(128x64_tf32x4, float, true, 128, 64, 4)   \
  X(64x64_tf32x4, float, true, 64, 64, 4)     \
  X(64x64_tf32x1, float, true, 64, 64, 1)     \
  X(128x64_f32x4, float, false, 128, 64, 4)   \
  X(64x64_f32x4, float, false, 64, 64, 4)     \
  X(64x64_f32x1, float, false, 64, 64, 1)
