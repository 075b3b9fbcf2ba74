// scale: out (N, HW, C) = gate (N, C) x: one read, one write. Its gradient in one pass: dx = gate dy, and the sums of dy x
// over stretches of pixels, which global_avg_pool_join makes dgate (N, C) of: two reads, one write. dx may lie over dy.
// Caller: scale.go.
#include "channel_sums.cuh"

template <int W, class T>
__device__ inline void scale(T* out, const T* x, const float* gate, int hw, int c, int per) {
  const Stretch s = stretch_of<W>(blockIdx.z, blockIdx.y, hw, c, per);
  float g[W];
  load(g, gate + i64(blockIdx.z) * c + s.c);
  each_pixel<4>(
      s, [=](i64 at) { return fetch<W>(x + at); },
      [&](const Packed<T, W>& pixel, i64 at) {
        float v[W];
#pragma unroll
        for (int i = 0; i < W; i++) v[i] = g[i] * element(pixel, i);
        store(out + at, v);
      });
}

// to (N, splits, C): sums of dy x over a stretch.
template <int W, class T>
__device__ inline void grad(T* dx, float* to, const T* dy, const T* x, const float* gate, int hw, int c, int per) {
  __shared__ float exchange[W * STRETCH_THREADS / 2];
  struct Pixel {
    Packed<T, W> dy, x;
  };
  const Stretch s = stretch_of<W>(blockIdx.z, blockIdx.y, hw, c, per);
  float g[W], sum[W] = {};
  load(g, gate + i64(blockIdx.z) * c + s.c);
  each_pixel<4>(
      s,
      [=](i64 at) {
        return Pixel{fetch<W>(dy + at), fetch<W>(x + at)};
      },
      [&](const Pixel& p, i64 at) {
        float v[W];
#pragma unroll
        for (int i = 0; i < W; i++) {
          const float d = element(p.dy, i);
          sum[i] = fmaf(d, element(p.x, i), sum[i]);
          v[i] = g[i] * d;
        }
        store(dx + at, v);
      });
  sum_rows(sum, exchange);
  if (s.writes) store(to + (i64(blockIdx.z) * gridDim.y + blockIdx.y) * c + s.c, sum);
}

#define SENET_KERNELS(suffix, T, W)                                                                               \
  extern "C" __global__ void __launch_bounds__(STRETCH_THREADS)                                                   \
      scale_##suffix(T* out, const T* x, const float* gate, int hw, int c, int per) {                             \
    scale<W>(out, x, gate, hw, c, per);                                                                           \
  }                                                                                                               \
  extern "C" __global__ void __launch_bounds__(STRETCH_THREADS, 4)                                                \
      scale_grad_##suffix(T* dx, float* to, const T* dy, const T* x, const float* gate, int hw, int c, int per) { \
    grad<W>(dx, to, dy, x, gate, hw, c, per);                                                                     \
  }
SENET_MAP_KERNELS(SENET_KERNELS)
