// global_norm: the square root of the sum of all gradients' squares, added in float64, divided by the loss scale; 4 bytes a
// parameter. Each block of kNormBlock values has its own partial sum, so the result does not depend on the threads.
// Caller: kernels.go.
void global_norm(const senet_global_norm_args& t) {
  double* sums = static_cast<double*>(t.scratch);
#pragma omp parallel
  {
    int64_t base = 0;
    for (int k = 0; k < t.tensors; k++) {
      const senet_parameter& w = t.parameters[k];
      const int64_t blocks = norm_blocks(w.count);
#pragma omp for schedule(static) nowait
      for (int64_t b = 0; b < blocks; b++) {
        const float* grad = w.grad + b * kNormBlock;
        const int count = int(std::min(kNormBlock, w.count - b * kNormBlock));
        double s = 0;
#pragma omp simd reduction(+ : s)
        for (int i = 0; i < count; i++) s += double(grad[i]) * double(grad[i]);
        sums[base + b] = s;
      }
      base += blocks;
    }
  }
  double total = 0;
  int64_t blocks = 0;
  for (int k = 0; k < t.tensors; k++) blocks += norm_blocks(t.parameters[k].count);
  for (int64_t b = 0; b < blocks; b++) total += sums[b];
  t.norm[0] = float(std::sqrt(total) / (t.loss_scale ? t.loss_scale[0] : 1.f));
}
