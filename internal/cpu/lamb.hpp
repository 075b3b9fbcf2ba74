// lamb: as adamw, but u = step + decay param is scaled by the tensor's |param| / |u| where the tensor decays and neither is 0, as
// timm.optim.Lamb. A first pass moves the averages and sums squares, 24 bytes a parameter; a second makes u again, 16 bytes. Each
// block of kNormBlock values has sums of its own, so the result does not depend on the threads. Padding stays zero. Caller:
// update.go.
void lamb(const senet_lamb_args& t) {
  const AdamStep step(t);
  const float lr = t.learning_rate[0];
  double* squares = static_cast<double*>(t.scratch);  // of param and u, for each block
#pragma omp parallel
  {
    int64_t at = 0;
    for (int k = 0; k < t.tensors; k++) {
      const senet_parameter& w = t.parameters[k];
      const float decay = w.decay ? t.weight_decay : 0.f;
#pragma omp for schedule(static) nowait
      for (int64_t b = 0; b < norm_blocks(w.count); b++) {
        const int64_t base = b * kNormBlock;
        Vec params = zero(), updates = zero();
        each_vector(int(std::min(int64_t(kNormBlock), w.count - base)), [&](int j, auto io) {
          const int64_t i = base + j;
          Vec p = io.get(w.param + i), m = io.get(w.momentum + i), v = io.get(w.variance + i);
          const Vec u = fma(broadcast(decay), p, step(io.get(w.grad + i), m, v));
          io.put(w.momentum + i, m);
          io.put(w.variance + i, v);
          params = fma(p, p, params);
          updates = fma(u, u, updates);
        });
        squares[2 * (at + b)] = sum(params);
        squares[2 * (at + b) + 1] = sum(updates);
      }
      at += norm_blocks(w.count);
    }
#pragma omp barrier
    at = 0;
    for (int k = 0; k < t.tensors; k++) {
      const senet_parameter& w = t.parameters[k];
      const float decay = w.decay ? t.weight_decay : 0.f;
      double params = 0, updates = 0;
      for (int64_t b = 0; b < norm_blocks(w.count); b++, at++) {
        params += squares[2 * at];
        updates += squares[2 * at + 1];
      }
      const bool adapts = decay != 0 && params > 0 && updates > 0;
      const float rate = adapts ? float(lr * std::sqrt(params / updates)) : lr;
#pragma omp for schedule(static) nowait
      for (int64_t b = 0; b < norm_blocks(w.count); b++) {
        const int64_t base = b * kNormBlock;
        each_vector(int(std::min(int64_t(kNormBlock), w.count - base)), [&](int j, auto io) {
          const int64_t i = base + j;
          const Vec p = io.get(w.param + i), u = step.direction(io.get(w.momentum + i), io.get(w.variance + i));
          io.put(w.param + i, p - rate * fma(broadcast(decay), p, u));
        });
      }
    }
  }
}
