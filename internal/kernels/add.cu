// add: sum = a + b. Any layout. Reads and writes 3 maps; sum may be a or b. Caller: elementwise.go.
#include "elementwise.cuh"

#define SENET_KERNELS(suffix, T, W)                                                    \
  extern "C" __global__ void add_##suffix(T* sum, const T* a, const T* b, i64 count) { \
    map2<W>(sum, a, b, count, [](float x, float y) { return x + y; });                 \
  }
SENET_MAP_KERNELS(SENET_KERNELS)
