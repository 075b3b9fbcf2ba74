// global_max_pool: y (N, C) = the maximum over the pixels of x (N, HW, C) and the first pixel that has it; the last NaN
// wins, as it does pixel by pixel. One read of the map. Its gradient writes dx once: dy at that pixel and 0 elsewhere.
// Caller: global_max_pool.go.
#include "walk.cuh"

enum { THREADS = 256 };  // of a block

// Whether value v at pixel i goes before best at pixel at, in whichever order the two are met.
__device__ inline bool wins(float v, int i, float best, int at) {
  if (isnan(v)) return !isnan(best) || i > at;
  return v > best || (v == best && i < at);
}

// A block takes lanes * W channels of an image, lanes a power of two up to THREADS: the other THREADS / lanes threads of
// a lane share its pixels. There are groups blocks an image. pixel (N, C) may be null.
template <int W, class T>
__device__ inline void maximum(float* y, int* pixel, const T* x, int hw, int c, int lanes, int groups) {
  __shared__ float values[W][THREADS];
  __shared__ int pixels[W][THREADS];
  const i64 n = blockIdx.x / groups;
  const int channel = (blockIdx.x % groups * lanes + threadIdx.x % lanes) * W, share = threadIdx.x / lanes;
  float best[W];
  int at[W];
#pragma unroll
  for (int k = 0; k < W; k++) {
    best[k] = -infinity();
    at[k] = hw;  // behind every pixel
  }
  if (channel < c) {
    for (int i = share; i < hw; i += THREADS / lanes) {
      float v[W];
      load(v, x + (n * hw + i) * c + channel);
#pragma unroll
      for (int k = 0; k < W; k++) {
        if (wins(v[k], i, best[k], at[k])) {
          best[k] = v[k];
          at[k] = i;
        }
      }
    }
  }
#pragma unroll
  for (int k = 0; k < W; k++) {
    values[k][threadIdx.x] = best[k];
    pixels[k][threadIdx.x] = at[k];
  }
  for (int half = THREADS / 2; half >= lanes; half /= 2) {
    __syncthreads();
    if (int(threadIdx.x) < half) {
#pragma unroll
      for (int k = 0; k < W; k++) {
        const float v = values[k][threadIdx.x + half];
        const int i = pixels[k][threadIdx.x + half];
        if (wins(v, i, best[k], at[k])) {
          values[k][threadIdx.x] = best[k] = v;
          pixels[k][threadIdx.x] = at[k] = i;
        }
      }
    }
  }
  if (share > 0 || channel >= c) return;
  store(y + n * c + channel, best);
  if (!pixel) return;
#pragma unroll
  for (int k = 0; k < W; k++) pixel[n * c + channel + k] = at[k];
}

template <int W, class T>
__device__ inline void maximum_grad(T* dx, const float* dy, const int* pixel, int images, int hw, int c) {
  each_vector<W>(images, 1, hw, c, [=](int n, int, int here, int channel) {
    const i64 pair = i64(n) * c + channel;
    const Vec<int, W> at = *reinterpret_cast<const Vec<int, W>*>(pixel + pair);
    float g[W];
    load(g, dy + pair);
#pragma unroll
    for (int k = 0; k < W; k++) g[k] = at.at[k] == here ? g[k] : 0.0f;
    store(dx + (i64(n) * hw + here) * c + channel, g);
  });
}

#define SENET_KERNELS(suffix, T, W)                                                                                 \
  extern "C" __global__ void global_max_pool_##suffix(float* y, int* pixel, const T* x, int hw, int c, int lanes,   \
                                                      int groups) {                                                 \
    maximum<W>(y, pixel, x, hw, c, lanes, groups);                                                                  \
  }                                                                                                                 \
  extern "C" __global__ void global_max_pool_grad_##suffix(T* dx, const float* dy, const int* pixel, int n, int hw, \
                                                           int c) {                                                 \
    maximum_grad<W>(dx, dy, pixel, n, hw, c);                                                                       \
  }
SENET_MAP_KERNELS(SENET_KERNELS)
