// The kernels for AVX2. The target is set after the system headers: their functions stay for any processor.
#include <immintrin.h>
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <type_traits>

#include "kernels.h"

#pragma GCC target("avx2,fma")
namespace avx2 {

constexpr int kLanes = 8;
using Vec = __m256;

// The lanes below count.
static inline __m256i first(int count) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

static inline Vec load(const float* p) { return _mm256_loadu_ps(p); }
static inline void store(float* p, Vec v) { _mm256_storeu_ps(p, v); }
static inline void stream(float* p, Vec v) { _mm256_stream_ps(p, v); }  // p aligned; past the caches
static inline Vec load_first(const float* p, int count) { return _mm256_maskload_ps(p, first(count)); }
static inline void store_first(float* p, Vec v, int count) { _mm256_maskstore_ps(p, first(count), v); }
static inline Vec broadcast(float x) { return _mm256_set1_ps(x); }
static inline Vec fma(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a, b, c); }  // a b + c
static inline Vec sqrt(Vec v) { return _mm256_sqrt_ps(v); }

#include "kernels.hpp"

}  // namespace avx2
