// What AdamW and LAMB share: the moving averages of the gradient and its square, and the step that they make.
#pragma once
#include "update.cuh"

typedef float f32;

// An entry of the table that adamw.go makes. The four arrays lie in the same order; copy may be null.
struct AdamTensor {
  float *param, *exp_avg, *exp_avg_sq;
  const float* grad;
  void* copy;
  i64 count, decay;  // decay: 1 or 0
};

// What is the same for all elements of one update.
struct AdamFactors {
  float grad, scale, root;  // of the gradient; 1 / c1 and 1 / sqrt(c2), which correct the averages for starting at 0
};

// One thread counts the step. The corrections are float64, for what betas near 1 leave of 1 counts.
__device__ inline void adam_begin(AdamFactors* factors, float* step, const float* loss_scale, const float* norm,
                                  float clip, double beta1, double beta2) {
  const double t = step[0] + 1.0f;
  step[0] = float(t);
  factors->grad = gradient_factor(loss_scale, norm, clip);
  factors->scale = float(1.0 / (1.0 - pow(beta1, t)));
  factors->root = float(1.0 / sqrt(1.0 - pow(beta2, t)));
}

__device__ inline float adam_direction(const AdamFactors& f, float exp_avg, float exp_avg_sq, float eps) {
  return f.scale * exp_avg / (f.root * sqrtf(exp_avg_sq) + eps);
}

// Takes a gradient into its averages and returns them as a step; weight1 and weight2 are 1 - beta1 and 1 - beta2.
__device__ inline float adam_step(const AdamFactors& f, float grad, float& exp_avg, float& exp_avg_sq, float weight1,
                                  float weight2, float eps) {
  const float g = f.grad * grad;
  exp_avg += weight1 * (g - exp_avg);
  exp_avg_sq += weight2 * (g * g - exp_avg_sq);
  return adam_direction(f, exp_avg, exp_avg_sq, eps);
}
