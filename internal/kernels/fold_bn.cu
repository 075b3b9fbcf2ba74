// Folds a batch norm into the convolution before it, once after parameters were written:
//	a = gamma / sqrt(var + eps);  out (K, per) = a w;  bias (K) = beta - a mean
// and a copy of out in the type of maps, nil where no convolution reads one. All else is float32.
// Moves w, out and the copy once. Caller: fold_bn.go.
#include "types.cuh"

// A block does one row of w.
template <class T>
__device__ void fold_bn(const float* w, const float* gamma, const float* beta, const float* mean, const float* var,
                        float* out, T* copy, float* bias, int per, float eps) {
  const int k = blockIdx.x;
  const float a = gamma[k] * rsqrtf(var[k] + eps);
  for (int i = threadIdx.x; i < per; i += blockDim.x) {
    const i64 at = (i64)k * per + i;
    const float x = w[at] * a;
    out[at] = x;
    if (copy) copy[at] = from_float<T>(x);
  }
  if (threadIdx.x == 0) bias[k] = beta[k] - mean[k] * a;
}

#define KERNEL(suffix, T)                                                                                          \
  extern "C" __global__ void __launch_bounds__(128)                                                                \
      fold_bn_##suffix(const float* w, const float* gamma, const float* beta, const float* mean, const float* var, \
                       float* out, T* copy, float* bias, int per, float eps) {                                     \
    fold_bn<T>(w, gamma, beta, mean, var, out, copy, bias, per, eps);                                              \
  }
KERNEL(f32, float)
KERNEL(bf16, bf16)
KERNEL(f16, f16)
