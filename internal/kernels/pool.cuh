// Windows of pools over maps (N, H, W, C), with outputs (N, P, Q, C). Indices within an image are int.
#pragma once
#include "walk.cuh"

struct Pool {
  int h, w, p, q, kernel, stride, pad;
};

__device__ inline bool within(int i, int size) { return unsigned(i) < unsigned(size); }

// dx = the sums over the windows that contain a pixel. A thread makes the stride x stride pixels at the top left of window
// (p, q), which lie in the same windows: in (p, q), and at r + stride, s + stride in (p - 1, q - 1), and so on. So no index
// is divided. Calls add(sum, index into the outputs, p, q, r, s) for pixel (r, s) of each window (p, q), always in the same
// order; some lie outside (P, Q), and the index is then another's.
template <int W, class T, class F>
__device__ inline void gather(T* dx, const Pool& t, int images, int c, F add) {
  const int rows = (t.h + t.pad - 1) / t.stride + 1, columns = (t.w + t.pad - 1) / t.stride + 1;
  each_vector<W>(images, rows, columns, c, [=](int n, int p, int q, int channel) {
    const i64 outputs = i64(n) * t.p * t.q * c + channel, pixels = i64(n) * t.h * t.w * c + channel;
#pragma unroll
    for (int u = 0; u < t.stride; u++) {
#pragma unroll
      for (int v = 0; v < t.stride; v++) {
        float sum[W] = {};
#pragma unroll
        for (int a = 0; u + a * t.stride < t.kernel; a++) {
#pragma unroll
          for (int b = 0; v + b * t.stride < t.kernel; b++) {
            const bool there = within(p - a, t.p) && within(q - b, t.q);
            const i64 from = outputs + (there ? ((p - a) * t.q + q - b) * c : 0);
            add(sum, from, p - a, q - b, u + a * t.stride, v + b * t.stride);
          }
        }
        const int row = p * t.stride - t.pad + u, column = q * t.stride - t.pad + v;
        if (within(row, t.h) && within(column, t.w)) store(dx + pixels + (row * t.w + column) * c, sum);
      }
    }
  });
}
