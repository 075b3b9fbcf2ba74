// sigmoid: out = 1/(1 + exp(-a)), and its gradient: out = a b (1 - b), b the output. Gates (n, c); out may be a.
// Caller: kernels.go.
void sigmoid(const senet_sigmoid_args& t) {
  each_flat(t.count, [&](int64_t i, auto io) { io.put(t.out + i, sigmoid(io.get(t.a + i))); });
}

void sigmoid_grad(const senet_sigmoid_grad_args& t) {
  each_flat(t.count, [&](int64_t i, auto io) {
    const Vec y = io.get(t.b + i);
    io.put(t.out + i, io.get(t.a + i) * y * (1.f - y));
  });
}
