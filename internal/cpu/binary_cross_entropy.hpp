// binary_cross_entropy over logits (n, k), and its gradient, times the loss scale: max(x, 0) - x target + log(1 + exp(-|x|)), and
// sigmoid(x) - target, their mean over rows and, unless sum_classes, over classes. float64 throughout, for (n, k) is small. Above a
// threshold that is not 0 targets become 1, else 0. Caller: loss.go.

static inline double binary_target(const senet_loss_args& t, const Targets& w, int j) {
  const double target = w.at(j);
  if (t.threshold == 0 || target != target) return target;
  return target > t.threshold ? 1 : 0;
}

static inline double addends(const senet_loss_args& t) { return double(counted(t)) * (t.sum_classes ? 1 : t.k); }

void binary_cross_entropy(const senet_binary_cross_entropy_args& t) {
  double* losses = static_cast<double*>(t.scratch);
#pragma omp parallel for schedule(static)
  for (int i = 0; i < t.n; i++) {
    const float* x = t.logits + int64_t(i) * t.k;
    const Targets w(t, i);
    double sum = 0;
    for (int j = 0; j < t.k; j++) {
      const double v = x[j];
      sum += (v < 0 ? 0 : v) - v * binary_target(t, w, j) + std::log1p(std::exp(-std::abs(v)));
    }
    losses[i] = w.label < 0 ? 0 : sum;
  }
  double total = 0;
  for (int i = 0; i < t.n; i++) total += losses[i];
  const double count = addends(t);
  t.loss[0] = count > 0 ? float(total / count) : 0.f;
}

void binary_cross_entropy_grad(const senet_binary_cross_entropy_grad_args& t) {
  const double scale = (t.loss_scale ? t.loss_scale[0] : 1) / addends(t);
#pragma omp parallel for schedule(static)
  for (int i = 0; i < t.n; i++) {
    const Targets w(t, i);
    for (int j = 0; j < t.k; j++) {
      const int64_t at = int64_t(i) * t.k + j;
      const double right = 1 / (1 + std::exp(-double(t.logits[at])));
      t.out[at] = w.label < 0 ? 0 : float(scale * (right - binary_target(t, w, j)));
    }
  }
}
