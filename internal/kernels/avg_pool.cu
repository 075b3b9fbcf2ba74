// avg_pool: y (N, P, Q, C) = the mean of each window of x (N, H, W, C). Padding counts as zeros, what ceil mode adds
// beyond it does not. Its gradient gathers: each pixel sums its shares of the windows that contain it in a fixed order.
// Reads the one and writes the other; what windows share comes from caches. Caller: avg_pool.go.
#include "pool.cuh"

// The length of a window along an axis of this size, padding included.
__device__ inline int length_of(const Pool& t, int window, int size) {
  const int start = window * t.stride - t.pad, end = size + t.pad;
  return (start + t.kernel < end ? start + t.kernel : end) - start;
}

__device__ inline float share_of(const Pool& t, int p, int q) {
  return 1.0f / float(length_of(t, p, t.h) * length_of(t, q, t.w));
}

template <int W, class T>
__device__ inline void mean(T* y, const T* x, const Pool& t, int images, int c) {
  each_vector<W>(images, t.p, t.q, c, [=](int n, int p, int q, int channel) {
    const T* image = x + i64(n) * t.h * t.w * c + channel;
    const int top = p * t.stride - t.pad, left = q * t.stride - t.pad;
    float sum[W] = {};
    for (int row = max(top, 0); row < min(top + t.kernel, t.h); row++) {
      for (int column = max(left, 0); column < min(left + t.kernel, t.w); column++) {
        float v[W];
        load(v, image + (row * t.w + column) * c);
#pragma unroll
        for (int k = 0; k < W; k++) sum[k] += v[k];
      }
    }
    const float share = share_of(t, p, q);
#pragma unroll
    for (int k = 0; k < W; k++) sum[k] *= share;
    store(y + ((i64(n) * t.p + p) * t.q + q) * c + channel, sum);
  });
}

template <int W, class T>
__device__ inline void mean_grad(T* dx, const T* dy, const Pool& t, int images, int c) {
  gather<W>(dx, t, images, c, [=](float(&sum)[W], i64 from, int p, int q, int, int) {
    if (!within(p, t.p) || !within(q, t.q)) return;
    const float share = share_of(t, p, q);
    float g[W];
    load(g, dy + from);
#pragma unroll
    for (int k = 0; k < W; k++) sum[k] += share * g[k];
  });
}

#define SENET_KERNELS(suffix, T, W)                                                                                    \
  extern "C" __global__ void avg_pool_##suffix(T* y, const T* x, int n, int h, int w, int p, int q, int c, int kernel, \
                                               int stride, int pad) {                                                  \
    mean<W>(y, x, {h, w, p, q, kernel, stride, pad}, n, c);                                                            \
  }                                                                                                                    \
  extern "C" __global__ void avg_pool_grad_##suffix(T* dx, const T* dy, int n, int h, int w, int p, int q, int c,      \
                                                    int kernel, int stride, int pad) {                                 \
    mean_grad<W>(dx, dy, {h, w, p, q, kernel, stride, pad}, n, c);                                                     \
  }
SENET_MAP_KERNELS(SENET_KERNELS)
