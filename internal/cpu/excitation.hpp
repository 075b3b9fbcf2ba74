// excitation: gate (n, c) = sigmoid(w2 relu(w1 z + b1) + b2) with z (n, c), w1 (r, c), w2 (c, r): 4 n c r flops. All images
// share one read of the weights. Caller: kernels.go, bn_se_add_relu.hpp.

// Called by every thread of a team. hidden (n, r) is after the ReLU; b1 (r) and b2 (c) may be null.
static void excite(int n, int c, int r, const float* z, const float* w1, const float* b1, const float* w2,
                   const float* b2, float* hidden, float* gate) {
  product_nt(n, r, c, z, c, w1, c, 1, hidden, r);
#pragma omp for schedule(static)
  for (int i = 0; i < n; i++) {
    float* h = hidden + int64_t(i) * r;
    each_vector(r, [&](int k, auto io) { io.put(h + k, relu(b1 ? io.get(h + k) + io.get(b1 + k) : io.get(h + k))); });
  }
  product_nt(n, c, r, hidden, r, w2, r, 1, gate, c);
#pragma omp for schedule(static)
  for (int i = 0; i < n; i++) {
    float* g = gate + int64_t(i) * c;
    each_vector(c, [&](int ch, auto io) {
      const Vec v = io.get(g + ch);
      io.put(g + ch, sigmoid(b2 ? v + io.get(b2 + ch) : v));
    });
  }
}

void excitation(const senet_excitation_args& t) {
#pragma omp parallel
  excite(t.n, t.c, t.r, t.z, t.w1, t.b1, t.w2, t.b2, static_cast<float*>(t.scratch), t.out);
}
