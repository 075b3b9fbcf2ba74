// hard_sigmoid: y = min(max(x + 3, 0), 6) / 6, NaN stays NaN, and its gradient: dx = dy / 6 where 0 < y < 1. Any layout.
// Reads and writes 2 and 3 maps; y may be x, dx may be dy or y. Caller: elementwise.go.
#include "elementwise.cuh"

// Not fminf(fmaxf()), which drop NaN.
__device__ inline float hard_sigmoid(float x) {
  const float v = x + 3.0f;
  return (v < 0.0f ? 0.0f : v > 6.0f ? 6.0f : v) / 6.0f;
}

#define SENET_KERNELS(suffix, T, W)                                                                     \
  extern "C" __global__ void hard_sigmoid_##suffix(T* y, const T* x, i64 count) {                       \
    map1<W>(y, x, count, [](float v) { return hard_sigmoid(v); });                                      \
  }                                                                                                     \
  extern "C" __global__ void hard_sigmoid_grad_##suffix(T* dx, const T* dy, const T* y, i64 count) {    \
    map2<W>(dx, dy, y, count, [](float g, float v) { return v > 0.0f && v < 1.0f ? g / 6.0f : 0.0f; }); \
  }
SENET_MAP_KERNELS(SENET_KERNELS)
