// relu: y = max(x, 0), NaN stays NaN, and its gradient: dx = dy where y > 0. Any layout. Reads and writes 2 and 3 maps;
// y may be x, dx may be dy or y. Caller: elementwise.go.
#include "elementwise.cuh"

#define SENET_KERNELS(suffix, T, W)                                                          \
  extern "C" __global__ void relu_##suffix(T* y, const T* x, i64 count) {                    \
    map1<W>(y, x, count, [](float v) { return v < 0.0f ? 0.0f : v; });                       \
  }                                                                                          \
  extern "C" __global__ void relu_grad_##suffix(T* dx, const T* dy, const T* y, i64 count) { \
    map2<W>(dx, dy, y, count, [](float g, float v) { return v > 0.0f ? g : 0.0f; });         \
  }
SENET_MAP_KERNELS(SENET_KERNELS)
