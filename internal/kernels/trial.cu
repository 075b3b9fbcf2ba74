// trial: what it takes to compare two ways to compute a convolution. fill makes operands of numbers in [-1, 1) that depend on
// their index and a seed alone; differ finds how far apart two results are. Each reads or writes an element once. Caller:
// trial.go.
#include "reduce.cuh"
#include "walk.cuh"

enum { TRIAL_THREADS = 256 };

// A number of 24 bits, well mixed (the finaliser of MurmurHash3).
__device__ inline float noise(unsigned x) {
  x ^= x >> 16;
  x *= 0x85ebca6bu;
  x ^= x >> 13;
  x *= 0xc2b2ae35u;
  x ^= x >> 16;
  return float(int(x >> 8) - (1 << 23)) * 0x1p-23f;
}

// The greatest of a block's numbers, none below 0, in thread 0.
__device__ inline float block_max(float x, float* shared) {
  __syncthreads();  // shared may still be read from the call before
  shared[threadIdx.x] = x;
  for (int half = TRIAL_THREADS / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) shared[threadIdx.x] = fmaxf(shared[threadIdx.x], shared[threadIdx.x + half]);
  }
  return shared[0];
}

// most (blocks, 2): of a block's elements the greatest |have - want|, infinite where that is no number, and |want|.
template <class T, class U>
__device__ inline void differ(float* most, const T* have, const U* want, i64 n) {
  __shared__ float shared[TRIAL_THREADS];
  float distance = 0, magnitude = 0;
  each<1>(n, [&](i64 i) {
    const float w = to_float(want[i]), d = fabsf(to_float(have[i]) - w);
    distance = d <= distance ? distance : d == d ? d : infinity();
    magnitude = fmaxf(magnitude, fabsf(w));
  });
  distance = block_max(distance, shared);
  magnitude = block_max(magnitude, shared);
  if (threadIdx.x > 0) return;
  most[2 * blockIdx.x] = distance;
  most[2 * blockIdx.x + 1] = magnitude;
}

#define KERNEL(suffix, T)                                                                       \
  extern "C" __global__ void trial_fill_##suffix(T* to, i64 n, int seed) {                      \
    each<1>(n, [=](i64 i) { to[i] = from_float<T>(noise(unsigned(i) + 0x9e3779b9u * seed)); }); \
  }
KERNEL(f32, float)
KERNEL(bf16, bf16)
KERNEL(f16, f16)
#undef KERNEL

#define KERNEL(suffix, T, U)                                                                           \
  extern "C" __global__ void trial_differ_##suffix(float* most, const T* have, const U* want, i64 n) { \
    differ(most, have, want, n);                                                                       \
  }
KERNEL(f32_f32, float, float)
KERNEL(bf16_bf16, bf16, bf16)
KERNEL(bf16_f32, bf16, float)
KERNEL(f16_f16, f16, f16)
KERNEL(f16_f32, f16, float)
#undef KERNEL
