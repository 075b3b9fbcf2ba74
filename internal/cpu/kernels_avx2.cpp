// The kernels for AVX2. The target is set after the system headers: their functions stay for any processor.
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels.h"

#pragma GCC optimize("no-math-errno", "no-trapping-math")  // lets sqrt and selects vectorise; NaN and infinity stay exact
#pragma GCC target("avx2,fma")
namespace avx2 {
#include "kernels.inc"
}
