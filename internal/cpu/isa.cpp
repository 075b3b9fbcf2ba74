// Chooses between the two builds of the kernels.
#include <dnnl.h>
#include <omp.h>

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "kernels.h"

namespace plan {
#include "rows.hpp"
#include "blocks.hpp"
#include "winograd_plan.hpp"
#include "conv_grad_weight_plan.hpp"
}  // namespace plan

#define DECLARE(name)                      \
  namespace avx2 {                         \
  void name(const senet_##name##_args& a); \
  }                                        \
  namespace avx512 {                       \
  void name(const senet_##name##_args& a); \
  }
SENET_KERNELS(DECLARE)

static thread_local int used = SENET_AVX2;  // of a backend: it makes all calls on one thread

extern "C" {

int senet_isa_best(void) {
  const auto has = [effective = dnnl_get_effective_cpu_isa()](dnnl_cpu_isa_t isa) { return (effective & isa) == isa; };
  if (has(dnnl_cpu_isa_avx512_core)) return SENET_AVX512;
  return has(dnnl_cpu_isa_avx2) && __builtin_cpu_supports("fma") ? SENET_AVX2 : -1;
}

void senet_isa_use(int isa) { used = isa; }

int64_t senet_tail_scratch(int n, int hw, int c, int r) {
  return plan::TailScratch(plan::Rows(n, hw, c), r, nullptr).bytes;
}

int64_t senet_sums_scratch(int n, int hw, int c) { return int64_t(plan::Rows(n, hw, c).items()) * c * 4; }

int64_t senet_early_squeeze_scratch(int n, int hw, int c, int window) {
  return (int64_t(n) * c * window + 15) / 16 * 64 + senet_sums_scratch(n, hw, c);
}

int64_t senet_winograd_conv_scratch(int n, int h, int w, int c, int k, int threads) {
  return plan::WinogradPlan(n, h, w, c, k).floats(threads) * 4;
}

int64_t senet_winograd_grad_weight_scratch(int n, int h, int w, int c, int k, int threads) {
  return plan::WinogradGradPlan(n, h, w, c, k).floats(threads) * 4;
}

int64_t senet_conv_grad_weight_scratch(int64_t pixels, int c, int k, int r, int s, int threads) {
  return plan::GradWeightPlan(pixels, c, k, r, s).floats(r, threads) * 4;
}

int64_t senet_norm_blocks(int64_t count) { return plan::norm_blocks(count); }

void senet_threads(int threads) { omp_set_num_threads(threads); }

#define DISPATCH(name) \
  void senet_##name(const senet_##name##_args* a) { used == SENET_AVX512 ? avx512::name(*a) : avx2::name(*a); }
SENET_KERNELS(DISPATCH)
}
