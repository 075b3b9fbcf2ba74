// fold_bn: out (k, per) = weight gamma / sqrt(var + eps), bias (k) = beta - mean gamma / sqrt(var + eps), in plain order.
// Runs once after parameters were written. Caller: conv.go.
void fold_bn(const senet_fold_bn_args& t) {
#pragma omp parallel for schedule(static)
  for (int k = 0; k < t.k; k++) {
    const double a = t.gamma[k] / std::sqrt(double(t.var[k]) + t.eps);
    for (int i = 0; i < t.per; i++) t.out[int64_t(k) * t.per + i] = float(t.weight[int64_t(k) * t.per + i] * a);
    t.bias[k] = float(t.beta[k] - t.mean[k] * a);
  }
}
