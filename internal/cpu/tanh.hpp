// tanh: out = tanh(a) = 2 sigmoid(2 a) - 1, and its gradient: out = a (1 - b b), b the output. Gates (n, c); out may be a.
// Caller: kernels.go.
void tanh(const senet_tanh_args& t) {
  each_flat(t.count, [&](int64_t i, auto io) { io.put(t.out + i, 2.f * sigmoid(2.f * io.get(t.a + i)) - 1.f); });
}

void tanh_grad(const senet_tanh_grad_args& t) {
  each_flat(t.count, [&](int64_t i, auto io) {
    const Vec y = io.get(t.b + i);
    io.put(t.out + i, io.get(t.a + i) * (1.f - y * y));
  });
}
