// softmax_cross_entropy over logits (n, k), and its gradient, times the loss scale: float64 throughout, for (n, k) is
// small. The loss of a row is log sum exp(x) - sum target x, which takes the sum of x and two of its elements. Caller: loss.go.
void softmax_cross_entropy(const senet_softmax_cross_entropy_args& t) {
  double* losses = static_cast<double*>(t.scratch);
#pragma omp parallel for schedule(static)
  for (int i = 0; i < t.n; i++) {
    const float* x = t.logits + int64_t(i) * t.k;
    float* p = t.out + int64_t(i) * t.k;
    double top = x[0], sum = 0, total = 0;
    for (int j = 0; j < t.k; j++) top = x[j] > top ? x[j] : top;
    for (int j = 0; j < t.k; j++) {
      sum += std::exp(x[j] - top);
      total += x[j] - top;
    }
    for (int j = 0; j < t.k; j++) p[j] = float(std::exp(x[j] - top) / sum);
    losses[i] = 0;
    if (t.labels[i] < 0) continue;
    const Targets w(t, i);
    const auto of = [&](int label) { return x[std::clamp(label, 0, t.k - 1)] - top; };
    losses[i] = std::log(sum) - w.first * of(w.label) - w.second * of(w.mixed) - w.rest * total;
  }
  double total = 0;
  for (int i = 0; i < t.n; i++) total += losses[i];
  const int count = counted(t);
  t.loss[0] = count ? float(total / count) : 0.f;
}

void softmax_cross_entropy_grad(const senet_softmax_cross_entropy_grad_args& t) {
  const double scale = (t.loss_scale ? t.loss_scale[0] : 1) / double(counted(t));
#pragma omp parallel for schedule(static)
  for (int i = 0; i < t.n; i++) {
    const Targets w(t, i);
    for (int j = 0; j < t.k; j++) {
      const int64_t at = int64_t(i) * t.k + j;
      t.out[at] = w.label < 0 ? 0 : float(scale * (t.probabilities[at] - w.at(j)));
    }
  }
}
