// adamw: param -= lr (step + decay param), the step as adam.cuh has it, as torch.optim.AdamW. Everything float32; where
// convolutions read the parameter in the type of maps, that copy is written too. A launch of one thread, and one over all
// parameters: 28 bytes each, 30 with a copy. Caller: adamw.go.
#include "adam.cuh"

extern "C" __global__ void adamw_begin(AdamFactors* factors, float* step, const float* scale, const float* norm,
                                       float clip, double beta1, double beta2) {
  adam_begin(factors, step, scale, norm, clip, beta1, beta2);
}

// The update of one tensor. T is the type of copies.
template <class T>
struct Update {
  AdamTensor t;
  AdamFactors factors;
  float rate, keep, weight1, weight2, eps;  // keep: what decay leaves of a parameter

  template <int W>
  __device__ void at(i64 i) const {
    float param[W], exp_avg[W], exp_avg_sq[W], grad[W];
    load(param, t.param + i);
    load(exp_avg, t.exp_avg + i);
    load(exp_avg_sq, t.exp_avg_sq + i);
    load(grad, t.grad + i);
#pragma unroll
    for (int j = 0; j < W; j++)
      param[j] = keep * param[j] - rate * adam_step(factors, grad[j], exp_avg[j], exp_avg_sq[j], weight1, weight2, eps);
    store(t.param + i, param);
    store(t.exp_avg + i, exp_avg);
    store(t.exp_avg_sq + i, exp_avg_sq);
    if (t.copy) store(static_cast<T*>(t.copy) + i, param);
  }
};

template <class T>
__device__ inline void update(const AdamTensor* tensors, const i64* chunks, const AdamFactors* factors,
                              const float* learning_rate, float weight_decay, float weight1, float weight2, float eps) {
  const i64 entry = chunks[blockIdx.x];
  const AdamTensor t = tensors[entry >> 32];
  const float rate = learning_rate[0];
  Update<T> u = {t, *factors, rate, 1.0f - rate * (t.decay ? weight_decay : 0.0f), weight1, weight2, eps};
  each_of_chunk(entry, t.count, u);
}

#define SENET_KERNELS(T)                                                                                             \
  extern "C" __global__ void adamw_##T(const AdamTensor* tensors, const i64* chunks, const AdamFactors* factors,     \
                                       const float* learning_rate, float weight_decay, float weight1, float weight2, \
                                       float eps) {                                                                  \
    update<T>(tensors, chunks, factors, learning_rate, weight_decay, weight1, weight2, eps);                         \
  }
SENET_KERNELS(f32)
SENET_KERNELS(bf16)
SENET_KERNELS(f16)
