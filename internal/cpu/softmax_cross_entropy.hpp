// softmax_cross_entropy over logits (n, k), and its gradient: float64 throughout, for (n, k) is small. With smoothing e the
// target is (1 - e) onehot + e/k; the loss of a row is log sum exp(x) - (1 - e) x[label] - e mean(x). A label
// of -1 leaves the row out; one that is no class makes the loss NaN. Caller: kernels.go.
void softmax_cross_entropy(const senet_softmax_cross_entropy_args& t) {
  double* losses = static_cast<double*>(t.scratch);
#pragma omp parallel for schedule(static)
  for (int i = 0; i < t.n; i++) {
    const float* x = t.logits + int64_t(i) * t.k;
    float* p = t.out + int64_t(i) * t.k;
    double top = x[0], sum = 0, mean = 0;
    for (int j = 0; j < t.k; j++) top = x[j] > top ? x[j] : top;
    for (int j = 0; j < t.k; j++) {
      sum += std::exp(x[j] - top);
      mean += x[j] - top;
    }
    for (int j = 0; j < t.k; j++) p[j] = float(std::exp(x[j] - top) / sum);
    const int label = t.labels[i];
    const double right = label < t.k ? x[std::max(label, 0)] - top : double(NAN);
    losses[i] = label < 0 ? 0 : std::log(sum) - (1 - t.smoothing) * right - t.smoothing * mean / t.k;
  }
  double total = 0;
  int count = 0;
  for (int i = 0; i < t.n; i++) {
    total += losses[i];
    count += t.labels[i] >= 0;
  }
  t.loss[0] = count ? float(total / count) : 0.f;
}

void softmax_cross_entropy_grad(const senet_softmax_cross_entropy_grad_args& t) {
  int count = 0;
  for (int i = 0; i < t.n; i++) count += t.labels[i] >= 0;
#pragma omp parallel for schedule(static)
  for (int i = 0; i < t.n; i++) {
    for (int j = 0; j < t.k; j++) {
      const int64_t at = int64_t(i) * t.k + j;
      const double target = double(t.smoothing) / t.k + (j == t.labels[i] ? 1.0 - t.smoothing : 0);
      t.out[at] = t.labels[i] < 0 ? 0 : float((t.probabilities[at] - target) / count);
    }
  }
}
