// relu: out = max(a, 0), and its gradient: out = a where b > 0, b the output. 8 and 12 bytes an element; out may
// be a. Caller: kernels.go.
void relu(const senet_relu_args& t) {
  each_flat(t.count, [&](int64_t i, auto io) {
    io.put(t.out + i, relu(io.get(t.a + i)), t.count >= kPastCaches && t.out != t.a);
  });
}

void relu_grad(const senet_relu_grad_args& t) {
  each_flat(t.count, [&](int64_t i, auto io) {
    io.put(t.out + i, io.get(t.b + i) > 0 ? io.get(t.a + i) : zero(), t.count >= kPastCaches && t.out != t.a);
  });
}
