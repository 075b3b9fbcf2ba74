// sgd: d = factor grad + decay param; m = mu m + d; param -= lr (nesterov: d + mu m; else m), as torch.optim.SGD.
// Everything float32; where convolutions read the parameter in the type of maps, that copy is written too. One launch over all
// parameters: 20 bytes each, 22 with a copy. Caller: sgd.go.
#include "update.cuh"

// An entry of the table that sgd.go makes. The three arrays lie in the same order; copy may be null.
struct Tensor {
  float *param, *momentum;
  const float* grad;
  void* copy;
  i64 count, decay;  // decay: 1 or 0
};

// The update of one tensor. T is the type of copies.
template <class T>
struct Update {
  Tensor t;
  float rate, factor, mu, decay;
  bool nesterov;

  template <int W>
  __device__ void at(i64 i) const {
    float param[W], momentum[W], grad[W];
    load(param, t.param + i);
    load(momentum, t.momentum + i);
    load(grad, t.grad + i);
#pragma unroll
    for (int j = 0; j < W; j++) {
      const float d = grad[j] * factor + decay * param[j];
      momentum[j] = mu * momentum[j] + d;
      param[j] -= rate * (nesterov ? d + mu * momentum[j] : momentum[j]);
    }
    store(t.param + i, param);
    store(t.momentum + i, momentum);
    if (t.copy) store(static_cast<T*>(t.copy) + i, param);
  }
};

// scale and norm may be null.
template <class T>
__device__ inline void update(const Tensor* tensors, const i64* chunks, const float* learning_rate, const float* scale,
                              const float* norm, float clip, float mu, float weight_decay, int nesterov) {
  const i64 entry = chunks[blockIdx.x];
  const Tensor t = tensors[entry >> 32];
  Update<T> u = {
      t, learning_rate[0], gradient_factor(scale, norm, clip), mu, t.decay ? weight_decay : 0.0f, nesterov != 0};
  each_of_chunk(entry, t.count, u);
}

#define SENET_KERNELS(T)                                                                                              \
  extern "C" __global__ void sgd_##T(const Tensor* tensors, const i64* chunks, const float* learning_rate,            \
                                     const float* scale, const float* norm, float clip, float mu, float weight_decay, \
                                     int nesterov) {                                                                  \
    update<T>(tensors, chunks, learning_rate, scale, norm, clip, mu, weight_decay, nesterov);                         \
  }
typedef float f32;
SENET_KERNELS(f32)
SENET_KERNELS(bf16)
SENET_KERNELS(f16)
