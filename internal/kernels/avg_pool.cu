// avg_pool: y (N, P, Q, C) = the mean of each window of x (N, H, W, C). Padding counts as zeros, what ceil mode adds
// beyond it does not. Its gradient gathers: each pixel sums its shares of the windows that contain it in a fixed order.
// Reads the one and writes the other; what windows share comes from caches. Caller: avg_pool.go.
#include "pool.cuh"

// The length of a window along an axis of this size, padding included.
__device__ inline int length_of(const Pool& t, int window, int size) {
  const int start = window * t.stride - t.pad, end = size + t.pad;
  return (start + t.kernel < end ? start + t.kernel : end) - start;
}

// pixels = N P Q.
template <int W, class T>
__device__ inline void mean(T* y, const T* x, Pool t, i64 pixels, int c) {
  each_pixel<W>(pixels, t.p, t.q, c, [=](int n, int p, int q, int channel, i64 to) {
    const Span rows = pixels_of(t, p, t.h), columns = pixels_of(t, q, t.w);
    const float share = 1.0f / float(length_of(t, p, t.h) * length_of(t, q, t.w));
    float sum[W] = {};
    for (int row = rows.first; row < rows.last; row++) {
      for (int column = columns.first; column < columns.last; column++) {
        float v[W];
        load(v, x + ((i64(n) * t.h + row) * t.w + column) * c + channel);
#pragma unroll
        for (int k = 0; k < W; k++) sum[k] += v[k];
      }
    }
#pragma unroll
    for (int k = 0; k < W; k++) sum[k] *= share;
    store(y + to, sum);
  });
}

// pixels = N H W.
template <int W, class T>
__device__ inline void mean_grad(T* dx, const T* dy, Pool t, i64 pixels, int c) {
  each_pixel<W>(pixels, t.h, t.w, c, [=](int n, int row, int column, int channel, i64 to) {
    const Span ps = windows_of(t, row, t.p), qs = windows_of(t, column, t.q);
    float sum[W] = {};
    for (int p = ps.first; p < ps.last; p++) {
      for (int q = qs.first; q < qs.last; q++) {
        const float share = 1.0f / float(length_of(t, p, t.h) * length_of(t, q, t.w));
        float g[W];
        load(g, dy + ((i64(n) * t.p + p) * t.q + q) * c + channel);
#pragma unroll
        for (int k = 0; k < W; k++) sum[k] += share * g[k];
      }
    }
    store(dx + to, sum);
  });
}

#define SENET_KERNELS(suffix, T, W)                                                                                    \
  extern "C" __global__ void avg_pool_##suffix(T* y, const T* x, i64 pixels, int h, int w, int p, int q, int c,        \
                                               int kernel, int stride, int pad) {                                      \
    mean<W>(y, x, {h, w, p, q, kernel, stride, pad}, pixels, c);                                                       \
  }                                                                                                                    \
  extern "C" __global__ void avg_pool_grad_##suffix(T* dx, const T* dy, i64 pixels, int h, int w, int p, int q, int c, \
                                                    int kernel, int stride, int pad) {                                 \
    mean_grad<W>(dx, dy, {h, w, p, q, kernel, stride, pad}, pixels, c);                                                \
  }
SENET_MAP_KERNELS(SENET_KERNELS)
