// lamb: u = step + decay param, the step as adam.cuh has it; param -= lr |param| / |u| u, the ratio being 1 where a norm is 0
// and for tensors without decay, as timm.optim.Lamb. One thread begins; a launch over all parameters moves the averages and
// sums squares by chunk (24 bytes a parameter); a block for each tensor makes its ratio; a last launch makes u again, which
// costs no more than to keep it (16 bytes, 18 with a copy). Caller: adamw.go.
#include "adam.cuh"
#include "reduce.cuh"

extern "C" __global__ void lamb_begin(AdamFactors* factors, float* step, const float* scale, const float* norm,
                                      float clip, double beta1, double beta2) {
  adam_begin(factors, step, scale, norm, clip, beta1, beta2);
}

// A thread's share of a chunk: the averages, and the squares of parameters and updates.
struct Averages {
  AdamTensor t;
  AdamFactors factors;
  float decay, weight1, weight2, eps;
  float params, updates;

  template <int W>
  __device__ void at(i64 i) {
    float param[W], exp_avg[W], exp_avg_sq[W], grad[W];
    load(param, t.param + i);
    load(exp_avg, t.exp_avg + i);
    load(exp_avg_sq, t.exp_avg_sq + i);
    load(grad, t.grad + i);
#pragma unroll
    for (int j = 0; j < W; j++) {
      const float u = adam_step(factors, grad[j], exp_avg[j], exp_avg_sq[j], weight1, weight2, eps) + decay * param[j];
      params += param[j] * param[j];
      updates += u * u;
    }
    store(t.exp_avg + i, exp_avg);
    store(t.exp_avg_sq + i, exp_avg_sq);
  }
};

// squares: of parameters and of updates, for each chunk.
extern "C" __global__ void lamb_averages(float* squares, const AdamTensor* tensors, const i64* chunks,
                                         const AdamFactors* factors, float weight_decay, float weight1, float weight2,
                                         float eps) {
  __shared__ float parts[WARP];
  const i64 entry = chunks[blockIdx.x];
  const AdamTensor t = tensors[entry >> 32];
  Averages a = {t, *factors, t.decay ? weight_decay : 0.0f, weight1, weight2, eps, 0.0f, 0.0f};
  each_of_chunk(entry, t.count, a);
  const float params = block_sum(a.params, parts), updates = block_sum(a.updates, parts);
  if (threadIdx.x > 0) return;
  squares[2 * blockIdx.x] = params;
  squares[2 * blockIdx.x + 1] = updates;
}

// ratios: one for each tensor, which has chunks first to first of the next one, the last entry of firsts being their number.
extern "C" __global__ void lamb_ratios(float* ratios, const float* squares, const AdamTensor* tensors,
                                       const i64* firsts, float weight_decay) {
  __shared__ float parts[WARP];
  float params = 0.0f, updates = 0.0f;
  for (i64 i = firsts[blockIdx.x] + threadIdx.x; i < firsts[blockIdx.x + 1]; i += blockDim.x) {
    params += squares[2 * i];
    updates += squares[2 * i + 1];
  }
  params = block_sum(params, parts);
  updates = block_sum(updates, parts);
  const bool adapts = tensors[blockIdx.x].decay && weight_decay != 0.0f && params > 0.0f && updates > 0.0f;
  if (threadIdx.x == 0) ratios[blockIdx.x] = adapts ? sqrtf(params / updates) : 1.0f;
}

// The update of one tensor. T is the type of copies.
template <class T>
struct Update {
  AdamTensor t;
  AdamFactors factors;
  float rate, decay, eps;

  template <int W>
  __device__ void at(i64 i) const {
    float param[W], exp_avg[W], exp_avg_sq[W];
    load(param, t.param + i);
    load(exp_avg, t.exp_avg + i);
    load(exp_avg_sq, t.exp_avg_sq + i);
#pragma unroll
    for (int j = 0; j < W; j++)
      param[j] -= rate * (adam_direction(factors, exp_avg[j], exp_avg_sq[j], eps) + decay * param[j]);
    store(t.param + i, param);
    if (t.copy) store(static_cast<T*>(t.copy) + i, param);
  }
};

template <class T>
__device__ inline void update(const AdamTensor* tensors, const i64* chunks, const AdamFactors* factors,
                              const float* ratios, const float* learning_rate, float weight_decay, float eps) {
  const i64 entry = chunks[blockIdx.x];
  const AdamTensor t = tensors[entry >> 32];
  Update<T> u = {t, *factors, learning_rate[0] * ratios[entry >> 32], t.decay ? weight_decay : 0.0f, eps};
  each_of_chunk(entry, t.count, u);
}

#define SENET_KERNELS(T)                                                                                        \
  extern "C" __global__ void lamb_##T(const AdamTensor* tensors, const i64* chunks, const AdamFactors* factors, \
                                      const float* ratios, const float* learning_rate, float weight_decay,      \
                                      float eps) {                                                              \
    update<T>(tensors, chunks, factors, ratios, learning_rate, weight_decay, eps);                              \
  }
SENET_KERNELS(f32)
SENET_KERNELS(bf16)
SENET_KERNELS(f16)
