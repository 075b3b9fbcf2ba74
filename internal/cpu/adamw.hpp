// adamw: param -= lr (step + decay param), the step being m / c1 / (sqrt(v / c2) + eps) with m and v, the moving averages of the
// gradient and its square, corrected for starting at 0, as torch.optim.AdamW. 28 bytes a parameter. Caller: update.go.
void adamw(const senet_adamw_args& t) {
  const AdamStep step(t);
  const float lr = t.learning_rate[0];
  each_of_all(t.tensors, t.parameters, [&](const senet_parameter& w, int64_t i, auto io) {
    const float keep = 1.f - lr * (w.decay ? t.weight_decay : 0.f);
    Vec m = io.get(w.momentum + i), v = io.get(w.variance + i);
    const Vec u = step(io.get(w.grad + i), m, v);
    io.put(w.momentum + i, m);
    io.put(w.variance + i, v);
    io.put(w.param + i, keep * io.get(w.param + i) - lr * u);
  });
}
