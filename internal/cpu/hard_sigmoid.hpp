// hard_sigmoid: out = min(max(a + 3, 0), 6) / 6, and its gradient: out = a / 6 where 0 < b < 1, b the output. Gates (n, c);
// out may be a. Caller: kernels.go.
void hard_sigmoid(const senet_hard_sigmoid_args& t) {
  each_flat(t.count, [&](int64_t i, auto io) {
    const Vec v = relu(io.get(t.a + i) + 3.f);
    io.put(t.out + i, (v > 6.f ? broadcast(6.f) : v) / 6.f);
  });
}

void hard_sigmoid_grad(const senet_hard_sigmoid_grad_args& t) {
  each_flat(t.count, [&](int64_t i, auto io) {
    const Vec y = io.get(t.b + i), dx = io.get(t.a + i) / 6.f;
    io.put(t.out + i, y > 0.f ? (y < 1.f ? dx : zero()) : zero());
  });
}
