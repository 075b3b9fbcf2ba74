// fold_squeeze: out (j, groups per) = w1 a weight, bias (j) = w1 (beta - a mean) + b1, with w1 (j, k), weight (k, per) in plain order, a =
// gamma / sqrt(var + eps): the first layer of an SE block over what the convolution before it reads. 2 j k per flops, once after
// parameters were written. Caller: tail.go.
void fold_squeeze(const senet_fold_squeeze_args& t) {
  float* scaled = static_cast<float*>(t.scratch);  // w1 a
  const int filters = t.k / t.groups;              // of a group
#pragma omp parallel
  {
#pragma omp for schedule(static)
    for (int j = 0; j < t.j; j++) {
      double bias = t.b1 ? t.b1[j] : 0;
      for (int k = 0; k < t.k; k++) {
        const double w = t.w1[int64_t(j) * t.k + k], a = t.gamma[k] / std::sqrt(double(t.var[k]) + t.eps);
        scaled[int64_t(j) * t.k + k] = float(w * a);
        bias += w * (t.beta[k] - t.mean[k] * a);
      }
      t.bias[j] = float(bias);
    }
    for (int g = 0; g < t.groups; g++)
      product_nn(t.j, filters, t.per, scaled + g * filters, t.k, 1, t.weight + int64_t(g) * filters * t.per,
                 t.out + int64_t(g) * t.per, int64_t(t.groups) * t.per);
  }
}
