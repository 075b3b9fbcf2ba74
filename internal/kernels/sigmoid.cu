// sigmoid: y = 1 / (1 + exp(-x)), and its gradient: dx = dy y (1 - y). Any layout. Reads and writes 2 and 3 maps;
// y may be x, dx may be dy or y. Caller: elementwise.go.
#include "elementwise.cuh"

#define SENET_KERNELS(suffix, T, W)                                                             \
  extern "C" __global__ void sigmoid_##suffix(T* y, const T* x, i64 count) {                    \
    map1<W>(y, x, count, [](float v) { return 1.0f / (1.0f + expf(-v)); });                     \
  }                                                                                             \
  extern "C" __global__ void sigmoid_grad_##suffix(T* dx, const T* dy, const T* y, i64 count) { \
    map2<W>(dx, dy, y, count, [](float g, float v) { return g * v * (1.0f - v); });             \
  }
SENET_MAP_KERNELS(SENET_KERNELS)
