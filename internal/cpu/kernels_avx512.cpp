// The kernels for AVX-512. The target is set after the system headers: their functions stay for any processor.
#include <immintrin.h>
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <type_traits>

#include "kernels.h"

#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma")
namespace avx512 {

constexpr int kLanes = 16;
using Vec = __m512;

static inline Vec load(const float* p) { return _mm512_loadu_ps(p); }
static inline void store(float* p, Vec v) { _mm512_storeu_ps(p, v); }
static inline void stream(float* p, Vec v) { _mm512_stream_ps(p, v); }  // p aligned; past the caches
static inline Vec load_first(const float* p, int count) { return _mm512_maskz_loadu_ps((1u << count) - 1, p); }
static inline void store_first(float* p, Vec v, int count) { _mm512_mask_storeu_ps(p, (1u << count) - 1, v); }
static inline Vec broadcast(float x) { return _mm512_set1_ps(x); }
static inline Vec fma(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a, b, c); }  // a b + c
static inline Vec sqrt(Vec v) { return _mm512_maskz_sqrt_ps(0xffff, v); }  // GCC 12 warns of the plain one's own header

#include "kernels.hpp"

}  // namespace avx512
