// cast: the copy of n float32 weights in the type of maps; widen: the reverse, for the gradients of weights that cuDNN
// leaves in that type. Both operands are aligned to 32 bytes. 4 and 2 bytes an element. Callers: cast.go.
#include "walk.cuh"

template <class To, class From>
__device__ inline void cast(To* to, const From* from, i64 n) {
  enum { W = 8 };
  const i64 whole = n / W * W;
  each<W>(whole, [=](i64 i) {
    float v[W];
    load(v, from + i);
    store(to + i, v);
  });
  each<1>(n - whole, [=](i64 i) { to[whole + i] = from_float<To>(to_float(from[whole + i])); });
}

extern "C" __global__ void cast_bf16(bf16* to, const float* from, i64 n) { cast(to, from, n); }

extern "C" __global__ void cast_f16(f16* to, const float* from, i64 n) { cast(to, from, n); }

extern "C" __global__ void widen_bf16(float* to, const bf16* from, i64 n) { cast(to, from, n); }

extern "C" __global__ void widen_f16(float* to, const f16* from, i64 n) { cast(to, from, n); }
