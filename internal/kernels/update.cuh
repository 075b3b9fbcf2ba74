// What the optimisers share.
#pragma once
#include "chunks.cuh"

// What gradients are multiplied by: one over the loss scale, and less where their norm is above clip, as
// torch.nn.utils.clip_grad_norm_. scale and norm may be null.
__device__ inline float gradient_factor(const float* scale, const float* norm, float clip) {
  const float unscale = scale ? 1.0f / scale[0] : 1.0f;
  return norm ? unscale * fminf(1.0f, clip / (norm[0] + 1e-6f)) : unscale;
}
