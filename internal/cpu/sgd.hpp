// sgd: d = grad + decay param; m = mu m + d; param -= lr (nesterov: d + mu m; else m), as torch.optim.SGD. All tensors in one
// parallel region, 20 bytes a parameter. Tensors lie in the layout of their weight; a blocked layout pads with
// zeros, which the formula keeps zero. Caller: kernels.go.
void sgd(const senet_sgd_args& t) {
  constexpr int64_t kBlock = 4096;
  const float lr = t.learning_rate[0], mu = t.momentum;
#pragma omp parallel
  for (int k = 0; k < t.tensors; k++) {
    const senet_parameter& w = t.parameters[k];
    const float decay = w.decay ? t.weight_decay : 0.f;
#pragma omp for schedule(static) nowait
    for (int64_t b = 0; b < (w.count + kBlock - 1) / kBlock; b++) {
      float *param = w.param + b * kBlock, *momentum = w.momentum + b * kBlock;
      const float* grad = w.grad + b * kBlock;
      each_vector(int(std::min(kBlock, w.count - b * kBlock)), [&](int i, auto io) {
        const Vec p = io.get(param + i), d = fma(broadcast(decay), p, io.get(grad + i));
        const Vec m = fma(broadcast(mu), io.get(momentum + i), d);
        io.put(momentum + i, m);
        io.put(param + i, p - lr * (t.nesterov ? fma(broadcast(mu), m, d) : m));
      });
    }
  }
}
