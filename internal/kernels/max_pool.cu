// max_pool: y (N, P, Q, C) = the maximum of each window of x (N, H, W, C), with its position r kernel + s as a byte, the
// first of equal ones; NaN wins. Its gradient gathers: each pixel sums dy of the windows that it won in a fixed order, so
// threads share nothing and dx is written once. Reads x, writes y and positions, and the other way round; what windows
// share comes from caches. Caller: max_pool.go.
#include "pool.cuh"

// position is null in inference. pixels = N P Q.
template <int W, class T>
__device__ inline void maximum(T* y, u8* position, const T* x, Pool t, i64 pixels, int c) {
  each_pixel<W>(pixels, t.p, t.q, c, [=](int n, int p, int q, int channel, i64 to) {
    const Span rows = pixels_of(t, p, t.h), columns = pixels_of(t, q, t.w);
    const int top = p * t.stride - t.pad, left = q * t.stride - t.pad;
    float best[W];
    int at[W];
#pragma unroll
    for (int k = 0; k < W; k++) {
      best[k] = -infinity();
      at[k] = (rows.first - top) * t.kernel + columns.first - left;
    }
    for (int row = rows.first; row < rows.last; row++) {
      for (int column = columns.first; column < columns.last; column++) {
        float v[W];
        load(v, x + ((i64(n) * t.h + row) * t.w + column) * c + channel);
        const int here = (row - top) * t.kernel + column - left;
#pragma unroll
        for (int k = 0; k < W; k++) {
          if (v[k] > best[k] || isnan(v[k])) {
            best[k] = v[k];
            at[k] = here;
          }
        }
      }
    }
    store(y + to, best);
    if (!position) return;
    Vec<u8, W> bytes;
#pragma unroll
    for (int k = 0; k < W; k++) bytes.at[k] = u8(at[k]);
    *reinterpret_cast<Vec<u8, W>*>(position + to) = bytes;
  });
}

// pixels = N H W.
template <int W, class T>
__device__ inline void maximum_grad(T* dx, const T* dy, const u8* position, Pool t, i64 pixels, int c) {
  each_pixel<W>(pixels, t.h, t.w, c, [=](int n, int row, int column, int channel, i64 to) {
    const Span ps = windows_of(t, row, t.p), qs = windows_of(t, column, t.q);
    float sum[W] = {};
    for (int p = ps.first; p < ps.last; p++) {
      for (int q = qs.first; q < qs.last; q++) {
        const i64 from = ((i64(n) * t.p + p) * t.q + q) * c + channel;
        const int here = (row + t.pad - p * t.stride) * t.kernel + column + t.pad - q * t.stride;
        const Vec<u8, W> won = *reinterpret_cast<const Vec<u8, W>*>(position + from);
        float g[W];
        load(g, dy + from);
#pragma unroll
        for (int k = 0; k < W; k++) sum[k] += won.at[k] == here ? g[k] : 0.0f;
      }
    }
    store(dx + to, sum);
  });
}

#define SENET_KERNELS(suffix, T, W)                                                                                    \
  extern "C" __global__ void max_pool_##suffix(T* y, u8* position, const T* x, i64 pixels, int h, int w, int p, int q, \
                                               int c, int kernel, int stride, int pad) {                               \
    maximum<W>(y, position, x, {h, w, p, q, kernel, stride, pad}, pixels, c);                                          \
  }                                                                                                                    \
  extern "C" __global__ void max_pool_grad_##suffix(T* dx, const T* dy, const u8* position, i64 pixels, int h, int w,  \
                                                    int p, int q, int c, int kernel, int stride, int pad) {            \
    maximum_grad<W>(dx, dy, position, {h, w, p, q, kernel, stride, pad}, pixels, c);                                   \
  }
SENET_MAP_KERNELS(SENET_KERNELS)
