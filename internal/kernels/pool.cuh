// Windows of pools over maps (N, H, W, C), with outputs (N, P, Q, C).
#pragma once
#include "walk.cuh"

struct Pool {
  int h, w, p, q, kernel, stride, pad;
};

// A stretch [first, last) along one axis.
struct Span {
  int first, last;
};

// The pixels of a window that lie in an axis of this size. Every window has some.
__device__ inline Span pixels_of(const Pool& t, int window, int size) {
  const int start = window * t.stride - t.pad;
  return {start < 0 ? 0 : start, start + t.kernel < size ? start + t.kernel : size};
}

// The windows along one axis that contain a pixel: none where the stride is greater than the kernel.
__device__ inline Span windows_of(const Pool& t, int pixel, int windows) {
  const int before = pixel + t.pad - t.kernel, last = (pixel + t.pad) / t.stride + 1;
  return {before < 0 ? 0 : before / t.stride + 1, last < windows ? last : windows};
}

// Calls f(n, row, column, channel, index into a map (N, height, width, C)) for each W neighbours of one.
template <int W, class F>
__device__ inline void each_pixel(i64 pixels, int height, int width, int c, F f) {
  each_row<W>(pixels, c, [=](i64 pixel, int channel) {
    const int line = int(pixel / width), column = int(pixel - i64(line) * width), n = line / height;
    f(n, line - n * height, column, channel, pixel * c + channel);
  });
}
