// sgd: d = factor grad + decay param; m = mu m + d; param -= lr (nesterov: d + mu m; else m), as torch.optim.SGD. 20 bytes a
// parameter. Tensors lie in the layout of their weight. Caller: update.go.
void sgd(const senet_sgd_args& t) {
  const float lr = t.learning_rate[0], mu = t.momentum, factor = gradient_factor(t.factor);
  each_of_all(t.tensors, t.parameters, [&](const senet_parameter& w, int64_t i, auto io) {
    const float decay = w.decay ? t.weight_decay : 0.f;
    const Vec p = io.get(w.param + i), d = fma(broadcast(decay), p, factor * io.get(w.grad + i));
    const Vec m = fma(broadcast(mu), io.get(w.momentum + i), d);
    io.put(w.momentum + i, m);
    io.put(w.param + i, p - lr * (t.nesterov ? fma(broadcast(mu), m, d) : m));
  });
}
