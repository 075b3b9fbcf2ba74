// excitation: gate (n, c) = sigmoid(w2 relu(h) + b2) with the hidden units h (n, r), w2 (c, r): 2 n c r flops; excite has the layer
// before it too, h = w1 z + b1 with z (n, c), w1 (r, c). All images share one read of the weights. Callers: tail.go,
// bn_se_add_relu.hpp.

// Called by every thread of a team. hidden (n, r) is after the ReLU; b2 (c) may be null.
static void expand(int n, int c, int r, const float* hidden, const float* w2, const float* b2, float* gate) {
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

// Likewise; b1 (r) may be null.
static void excite(int n, int c, int r, const float* z, const float* w1, const float* b1, const float* w2,
                   const float* b2, float* hidden, float* gate) {
  product_nt(n, r, c, z, c, w1, c, 1, hidden, r);
#pragma omp for schedule(static)
  for (int i = 0; i < n; i++) {
    float* h = hidden + int64_t(i) * r;
    each_vector(r, [&](int k, auto io) { io.put(h + k, relu(b1 ? io.get(h + k) + io.get(b1 + k) : io.get(h + k))); });
  }
  expand(n, c, r, hidden, w2, b2, gate);
}

void excitation(const senet_excitation_args& t) {
  float* hidden = static_cast<float*>(t.scratch);
#pragma omp parallel
  {
#pragma omp for schedule(static)
    for (int i = 0; i < t.n; i++)
      each_vector(t.r, [&](int k, auto io) {
        io.put(hidden + int64_t(i) * t.r + k, relu(io.get(t.h + int64_t(i) * t.r + k)));
      });
    expand(t.n, t.c, t.r, hidden, t.w2, t.b2, t.out);
  }
}
