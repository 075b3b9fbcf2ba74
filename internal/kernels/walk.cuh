// Loops of kernels whose threads each make W neighbours in memory of an output, spread over a grid of any size. Caller:
// .cu files, launched through walk.go.
#pragma once
#include "types.cuh"

__device__ inline float infinity() { return __int_as_float(0x7f800000); }

// Calls f(i) for each i in [0, count) that is a multiple of W, which divides count.
template <int W, class F>
__device__ inline void each(i64 count, F f) {
  const i64 step = i64(gridDim.x) * blockDim.x * W;
  for (i64 i = (i64(blockIdx.x) * blockDim.x + threadIdx.x) * W; i < count; i += step) f(i);
}

// Calls f(row, column) for each row of a matrix and each column that is a multiple of W, which divides columns; row by
// row. It divides once a thread instead of once a call.
template <int W, class F>
__device__ inline void each_row(i64 rows, int columns, F f) {
  const int units = columns / W;
  const i64 first = i64(blockIdx.x) * blockDim.x + threadIdx.x, step = i64(gridDim.x) * blockDim.x;
  const i64 row_step = step / units;
  const int unit_step = int(step % units);
  int unit = int(first % units);
  for (i64 row = first / units; row < rows; row += row_step) {
    f(row, unit * W);
    unit += unit_step;
    if (unit >= units) {
      unit -= units;
      row++;
    }
  }
}

// Where a vector lies in a map (N, height, width, units).
struct Place {
  int n, row, column, unit;
  __device__ Place(unsigned i, unsigned height, unsigned width, unsigned units)
      : n(i / units / width / height), row(i / units / width % height), column(i / units % width), unit(i % units) {}
};

// Calls f(n, row, column, channel) for each W neighbours of a map (N, height, width, C), in memory order; W divides C. It
// divides once a thread instead of once a call.
template <int W, class F>
__device__ inline void each_vector(int n, int height, int width, int c, F f) {
  const int units = c / W;
  const Place step(gridDim.x * blockDim.x, height, width, units);
  Place at(blockIdx.x * blockDim.x + threadIdx.x, height, width, units);
  while (at.n < n) {
    f(at.n, at.row, at.column, at.unit * W);
    at.unit += step.unit, at.column += step.column, at.row += step.row, at.n += step.n;
    if (at.unit >= units) at.unit -= units, at.column++;
    if (at.column >= width) at.column -= width, at.row++;
    if (at.row >= height) at.row -= height, at.n++;
  }
}
