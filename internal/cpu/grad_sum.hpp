// grad_sum: sum += grad / loss scale; steps += 1. 12 bytes a parameter. Caller: update.go.
void grad_sum(const senet_grad_sum_args& t) {
  const float factor = t.loss_scale ? 1.f / t.loss_scale[0] : 1.f;
  t.steps[0] += 1.f;
  each_of_all(t.tensors, t.followers, [&](const senet_follower& x, int64_t i, auto io) {
    io.put(x.to + i, fma(broadcast(factor), io.get(x.from + i), io.get(x.to + i)));
  });
}
