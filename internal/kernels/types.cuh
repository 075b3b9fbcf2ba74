// Element types, 16-byte vectors and the names that the emulator (internal/cuda/emu) gives another meaning.
// Sums and products are float32 whatever the element type.
#pragma once
#ifdef SENET_EMULATED
#include "emu.hpp"
#else
#include <cuda_bf16.h>
#include <cuda_fp16.h>
// Names `name` the block's dynamic shared memory, an array of `type`, 16-byte aligned.
#define SENET_DYNAMIC_SHARED(type, name)                         \
  extern __shared__ __align__(16) unsigned char senet_dynamic[]; \
  type* const name = reinterpret_cast<type*>(senet_dynamic)
#endif

typedef __nv_bfloat16 bf16;
typedef __half f16;
typedef unsigned char u8;
typedef long long i64;

__device__ inline float to_float(float x) { return x; }
__device__ inline float to_float(bf16 x) { return __bfloat162float(x); }
__device__ inline float to_float(f16 x) { return __half2float(x); }

template <class T>
__device__ inline T from_float(float x);
template <>
__device__ inline float from_float<float>(float x) {
  return x;
}
template <>
__device__ inline bf16 from_float<bf16>(float x) {
  return __float2bfloat16_rn(x);
}
template <>
__device__ inline f16 from_float<f16>(float x) {
  return __float2half_rn(x);
}

// W neighbours in memory, loaded and stored at once; W * sizeof(T) is 16 bytes or W is 1.
template <class T, int W>
struct alignas(W * sizeof(T)) Vec {
  T at[W];
};

// Reads W elements from p, which is aligned to them, as floats.
template <int W, class T>
__device__ inline void load(float (&to)[W], const T* p) {
  const Vec<T, W> v = *reinterpret_cast<const Vec<T, W>*>(p);
#pragma unroll
  for (int i = 0; i < W; i++) to[i] = to_float(v.at[i]);
}

template <int W, class T>
__device__ inline void store(T* p, const float (&from)[W]) {
  Vec<T, W> v;
#pragma unroll
  for (int i = 0; i < W; i++) v.at[i] = from_float<T>(from[i]);
  *reinterpret_cast<Vec<T, W>*>(p) = v;
}

// Calls X(suffix, element type, width) for each pair that kernels over maps are compiled for.
#define SENET_MAP_KERNELS(X) \
  X(f32x4, float, 4)         \
  X(f32x1, float, 1)         \
  X(bf16x8, bf16, 8)         \
  X(bf16x1, bf16, 1)         \
  X(f16x8, f16, 8)           \
  X(f16x1, f16, 1)
