// Chooses between the two builds of the kernels.
#include <omp.h>

#include <algorithm>
#include <cstring>

#include "kernels.h"

namespace plan {
#include "rows.inc"
}

#define DECLARE(name)                                                           \
  namespace avx2 { void name(const senet_##name##_args& a); }                   \
  namespace avx512 { void name(const senet_##name##_args& a); }
SENET_KERNELS(DECLARE)

static int used = SENET_AVX2;

extern "C" {

int senet_isa_best(void) {
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512dq"))
    return SENET_AVX512;
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? SENET_AVX2 : -1;
}

void senet_isa_use(int isa) { used = isa; }

int64_t senet_tail_scratch(int n, int hw, int c, int r) {
  const plan::Rows m(n, hw, c);
  const int64_t nc = int64_t(n) * c, sums = int64_t(m.items()) * 3 * c;
  return 8 * (sums + 2 * nc) + 4 * (10 * nc + 8 * int64_t(c) + int64_t(n) * r) + 64 * 24;  // 64 a piece for alignment
}

int64_t senet_norm_blocks(int64_t count) { return (count + plan::kNormBlock - 1) / plan::kNormBlock; }

void senet_threads(int threads) { omp_set_num_threads(threads); }

#define DISPATCH(name) \
  void senet_##name(const senet_##name##_args* a) { used == SENET_AVX512 ? avx512::name(*a) : avx2::name(*a); }
SENET_KERNELS(DISPATCH)
}
