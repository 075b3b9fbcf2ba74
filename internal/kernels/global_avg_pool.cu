// global_avg_pool: out (N, C) = mean over the pixels of x (N, HW, C), one read of x; where images are too few for the
// device, each is cut into stretches whose sums a second launch joins. Its gradient dx = dy / HW is one write. Callers:
// global_avg_pool.go, scale.go, early_squeeze.go.
#include "channel_sums.cuh"

// to (N, splits, C) = scale times the sums over a stretch; with one stretch it is the result.
template <int W, class T>
__device__ inline void sums(float* to, const T* x, float scale, int hw, int c, int per) {
  __shared__ float exchange[W * STRETCH_THREADS / 2];
  const Stretch s = stretch_of<W>(blockIdx.z, blockIdx.y, hw, c, per);
  float v[W] = {};
  each_pixel<4>(
      s, [=](i64 at) { return fetch<W>(x + at); },
      [&](const Packed<T, W>& pixel, i64) {
#pragma unroll
        for (int i = 0; i < W; i++) v[i] += element(pixel, i);
      });
  sum_rows(v, exchange);
  if (!s.writes) return;
#pragma unroll
  for (int i = 0; i < W; i++) v[i] *= scale;
  store(to + (i64(blockIdx.z) * gridDim.y + blockIdx.y) * c + s.c, v);
}

// out (N, C) = the sum of part (N, splits, C) over the stretches, the loads of 8 issued together: see channel_sums.cuh.
extern "C" __global__ void __launch_bounds__(256, 4)
    global_avg_pool_join(float* out, const float* part, i64 pairs, int splits, int c) {
  const i64 step = i64(gridDim.x) * blockDim.x;
  for (i64 pair = i64(blockIdx.x) * blockDim.x + threadIdx.x; pair < pairs; pair += step) {
    const float* from = part + pair / c * splits * c + pair % c;
    float sum = 0;
#pragma unroll 8
    for (int split = 0; split < splits; split++) sum += from[i64(split) * c];
    out[pair] = sum;
  }
}

template <int W, class T>
__device__ inline void grad(T* dx, const float* dy, int hw, int c, int per) {
  const Stretch s = stretch_of<W>(blockIdx.z, blockIdx.y, hw, c, per);
  const float share = 1.0f / float(hw);
  float v[W];
  load(v, dy + i64(blockIdx.z) * c + s.c);
#pragma unroll
  for (int i = 0; i < W; i++) v[i] *= share;
  each_pixel<1>(
      s, [](i64) { return 0; }, [&](int, i64 at) { store(dx + at, v); });
}

#define SENET_KERNELS(suffix, T, W)                                                               \
  extern "C" __global__ void __launch_bounds__(STRETCH_THREADS, 8)                                \
      global_avg_pool_sums_##suffix(float* to, const T* x, float scale, int hw, int c, int per) { \
    sums<W>(to, x, scale, hw, c, per);                                                            \
  }                                                                                               \
  extern "C" __global__ void __launch_bounds__(STRETCH_THREADS)                                   \
      global_avg_pool_grad_##suffix(T* dx, const float* dy, int hw, int c, int per) {             \
    grad<W>(dx, dy, hw, c, per);                                                                  \
  }
SENET_MAP_KERNELS(SENET_KERNELS)
