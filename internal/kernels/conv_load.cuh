// How convolutions fill a stage of their product from device memory (conv_tile.cuh). V is the elements of a copy:
// 16 bytes where the rows of the source allow it, else 1. What lies outside the source is zero.
#pragma once
#include "conv_tile.cuh"

// Copies V elements, or zeros.
template <int V, class T>
__device__ inline void fetch(unsigned char* to, const T* from, bool there) {
  if (V > 1) copy16(to, from, there);
  else *(T*)to = there ? load_constant(from) : from_float<T>(0);
}

// Where the window of a row of A begins in a map.
struct Window {
  int offset;  // elements from the block's first image, may be negative
  short y, x;  // of its first tap; NOWHERE beyond the last row
};
enum { NOWHERE = -32768 };

// A map (N, H, W, pitch) as the matrix of windows (window, r, s, channel), of which a tile has BM rows along k.
// step is 1, or -1 where taps go backwards.
template <class T, int V, int BM>
struct WindowTile {
  enum { DEPTH = Depth<T>::value, COLUMNS = DEPTH / V, PASS = THREADS / COLUMNS };
  const T* map;  // the first image of the block, the first channel of the group
  const Window* windows;
  int height, width, pitch, taps, step;  // taps: rows of the filter
  Odometer at;                           // channel, s, r

  __device__ void operator()(unsigned char* tile) {
    const int column = threadIdx.x % COLUMNS * V, row = threadIdx.x / COLUMNS;
    const int r = step * at.high, s = step * at.mid, offset = (r * width + s) * pitch + at.low;
    const bool tap = at.high < taps;
#pragma unroll 8
    for (int pass = 0; pass < BM; pass += PASS) {
      const int i = row + pass;
      const Window window = windows[i];
      const int y = window.y + r, x = window.x + s;
      const bool there = tap && (unsigned)y < (unsigned)height && (unsigned)x < (unsigned)width;
      fetch<V>(tile + along<T>(i, column), map + window.offset + offset, there);
    }
    at.advance();
  }
};

// A matrix (rows, columns) of which a tile has BN rows from `first`, along its columns.
template <class T, int V, int BN>
struct RowTile {
  enum { DEPTH = Depth<T>::value, COLUMNS = DEPTH / V, PASS = THREADS / COLUMNS };
  const T* matrix;
  int rows, columns, first, at;  // at: this thread's column

  __device__ RowTile(const T* matrix, int rows, int columns, int first, int stage)
      : matrix(matrix), rows(rows), columns(columns), first(first), at(stage * DEPTH + threadIdx.x % COLUMNS * V) {}

  __device__ void operator()(unsigned char* tile) {
    const int column = threadIdx.x % COLUMNS * V, row = threadIdx.x / COLUMNS;
    const T* from = matrix + (first + row) * columns + at;
#pragma unroll 8
    for (int pass = 0; pass < BN; pass += PASS, from += PASS * columns)
      fetch<V>(tile + along<T>(row + pass, column), from, first + row + pass < rows && at < columns);
    at += DEPTH;
  }
};

// A filter (rows of the reduction: k, s, r; columns: channels) of which a tile has BN columns across k. Taps of a row of
// windows are `stride` taps of the filter apart.
template <class T, int V, int BN>
struct FilterTile {
  enum { DEPTH = Depth<T>::value, COLUMNS = BN / V, PASS = THREADS / COLUMNS };
  const T* filter;            // (K, R, S, channels), its first tap and the first output channel of the group
  int channels, first;        // first: column of the tile
  int height, width, stride;  // R, S
  int taps;                   // along r
  Odometer at;                // output channel, s, r of this thread's row

  __device__ void operator()(unsigned char* tile) {
    const int column = threadIdx.x % COLUMNS * V, row = threadIdx.x / COLUMNS, c = first + column;
#pragma unroll 4
    for (int pass = 0; pass < DEPTH; pass += PASS) {
      const int tap = (at.low * height + at.high * stride) * width + at.mid * stride;
      fetch<V>(tile + across<T, BN>(row + pass, column), filter + tap * channels + c, at.high < taps && c < channels);
      at.advance();
    }
  }
};

// A map as the matrix (pixels, channels), of which a tile has BM columns across k.
template <class T, int V, int BM>
struct PixelTile {
  enum { DEPTH = Depth<T>::value, COLUMNS = BM / V, PASS = THREADS / COLUMNS };
  const T* map;  // (pixels, pitch), the first channel of the group
  int pixels, channels, pitch, first;
  int at;  // pixel of this thread's row

  __device__ void operator()(unsigned char* tile) {
    const int column = threadIdx.x % COLUMNS * V, row = threadIdx.x / COLUMNS, c = first + column;
    const T* from = map + (i64)at * pitch + c;
#pragma unroll 4
    for (int pass = 0; pass < DEPTH; pass += PASS, from += PASS * pitch)
      fetch<V>(tile + across<T, BM>(row + pass, column), from, at + pass < pixels && c < channels);
    at += DEPTH;
  }
};

// A map (N, H, W, pitch) as the matrix (output pixels; r, s, channel), of which a tile has BN columns across k.
template <class T, int V, int BN>
struct TapTile {
  enum { DEPTH = Depth<T>::value, COLUMNS = BN / V, PASS = THREADS / COLUMNS };
  const T* map;  // the channel of this thread's column
  int images, height, width, pitch, stride;
  int r, s;  // of this thread's column, less the padding
  bool there;
  Odometer at;  // q, p, image of this thread's row

  __device__ void operator()(unsigned char* tile) {
    const int column = threadIdx.x % COLUMNS * V, row = threadIdx.x / COLUMNS;
#pragma unroll 4
    for (int pass = 0; pass < DEPTH; pass += PASS) {
      const int y = at.mid * stride + r, x = at.low * stride + s;
      const bool inside = at.high < images && (unsigned)y < (unsigned)height && (unsigned)x < (unsigned)width;
      fetch<V>(tile + across<T, BN>(row + pass, column), map + (i64)((at.high * height + y) * width + x) * pitch,
               there && inside);
      at.advance();
    }
  }
};
