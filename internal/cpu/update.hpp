// What the optimisers and their companions share.

// Calls f(tensor, i, io) for each vector of every tensor of a list, in one parallel region. A blocked layout's padding is
// zero, which all of them keep zero.
template <typename T, typename F>
static inline void each_of_all(int tensors, const T* list, F f) {
  constexpr int64_t kBlock = 4096;
#pragma omp parallel
  for (int k = 0; k < tensors; k++) {
    const T& t = list[k];
#pragma omp for schedule(static) nowait
    for (int64_t b = 0; b < (t.count + kBlock - 1) / kBlock; b++) {
      const int64_t base = b * kBlock;
      each_vector(int(std::min(kBlock, t.count - base)), [&](int i, auto io) { f(t, base + i, io); });
    }
  }
}

static inline float gradient_factor(const senet_gradient_factor& f) {
  const float unscale = f.loss_scale ? 1.f / f.loss_scale[0] : 1.f;
  return f.norm ? unscale * std::min(1.f, f.clip / (f.norm[0] + 1e-6f)) : unscale;
}

// The step that Adam takes after its bias corrections, which are float64: what betas near 1 leave of 1 counts.
struct AdamStep {
  float factor, weight1, weight2, scale, root, eps;

  // Counts the step.
  explicit AdamStep(const senet_adam_args& t)
      : factor(gradient_factor(t.factor)), weight1(float(1 - t.beta1)), weight2(float(1 - t.beta2)), eps(t.eps) {
    const double step = t.step[0] += 1.f;
    scale = float(1 / (1 - std::pow(t.beta1, step)));
    root = float(1 / std::sqrt(1 - std::pow(t.beta2, step)));
  }

  // Takes a gradient into its averages and returns them as a step.
  Vec operator()(Vec grad, Vec& momentum, Vec& variance) const {
    const Vec g = factor * grad;
    momentum = fma(broadcast(weight1), g - momentum, momentum);
    variance = fma(broadcast(weight2), g * g - variance, variance);
    return direction(momentum, variance);
  }

  Vec direction(Vec momentum, Vec variance) const {
    return scale * momentum / fma(broadcast(root), sqrt(variance), broadcast(eps));
  }
};
