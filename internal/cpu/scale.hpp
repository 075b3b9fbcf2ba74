// scale: out (n, hw, c) = gate (n, c) x, 8 bytes an element; its gradient in one pass: dx = gate dy and
// dgate (n, c) = sum over hw of dy x, 12 bytes an element. dx may be dy. Caller: kernels.go.
void scale(const senet_scale_args& t) {
  const Rows m(t.n, t.hw, t.c);
  const bool past = m.past(kPastCaches) && t.out != t.x;
#pragma omp parallel
  {
    float* buffer = static_cast<float*>(__builtin_alloca_with_align(sizeof(float) * m.padded(), 512));
#pragma omp for schedule(static)
    for (int item = 0; item < m.items(); item++) {
      const float* gate = spread(m, t.gate + item / m.chunks * int64_t(m.c), buffer);
      each(m, item, [&](int64_t at, int i, auto io) {
        const Vec g = io.get(gate + i);
        io.put(t.out + at, g * io.get(t.x + at), past);
      });
    }
  }
}

void scale_grad(const senet_scale_grad_args& t) {
  const Rows m(t.n, t.hw, t.c);
  const bool past = m.past(kPastCaches) && t.dx != t.dy;
  float* part = static_cast<float*>(t.scratch);  // (items, c): sums of dy x
#pragma omp parallel
  {
    float* buffer = static_cast<float*>(__builtin_alloca_with_align(sizeof(float) * 2 * m.padded(), 512));
    float* total = buffer + m.padded();
#pragma omp for schedule(static)
    for (int item = 0; item < m.items(); item++) {
      const float* gate = spread(m, t.gate + item / m.chunks * int64_t(m.c), buffer);
      std::memset(total, 0, sizeof(float) * m.padded());
      each(m, item, [&](int64_t at, int i, auto io) {
        const Vec g = io.get(gate + i);
        Vec s = io.get(total + i);
        const Vec dy = io.get(t.dy + at);
        s = fma(dy, io.get(t.x + at), s);
        io.put(t.dx + at, g * dy, past);
        io.put(total + i, s);
      });
      fold(m, total, part + int64_t(item) * m.c);
    }
    finish_sums(m, part, 1, t.dgate);
  }
}
