// global_avg_pool: out (n, c) = mean over hw of x (n, hw, c), one read of the map; its gradient
// dx = dy (n, c) / hw, one write. Caller: kernels.go, early_squeeze.hpp.

// Sums over the pixels of each item: part (items, c). Called by every thread of a team.
static void pixel_sums(const Rows& m, const float* x, float* part) {
  float* total = static_cast<float*>(__builtin_alloca_with_align(sizeof(float) * m.padded(), 512));
#pragma omp for schedule(static)
  for (int item = 0; item < m.items(); item++) {
    std::memset(total, 0, sizeof(float) * m.padded());
    each(m, item, [&](int64_t at, int i, auto io) {
      Vec s = io.get(total + i);
      s += io.get(x + at);
      io.put(total + i, s);
    });
    fold(m, total, part + int64_t(item) * m.c);
  }
}

// out (n, c) = scale * the sums of each image's items. Called by every thread of a team.
static void finish_sums(const Rows& m, const float* part, double scale, float* out) {
  const int blocks = (m.c + kChannelBlock - 1) / kChannelBlock;
#pragma omp for schedule(static) collapse(2)
  for (int i = 0; i < m.n; i++) {
    for (int b = 0; b < blocks; b++) {
      const int from = b * kChannelBlock, to = std::min(m.c, from + kChannelBlock);
      double sums[kChannelBlock];
      add_chunks(m, part, 1, 0, i, from, to, sums);
      for (int k = from; k < to; k++) out[int64_t(i) * m.c + k] = float(sums[k - from] * scale);
    }
  }
}

void global_avg_pool(const senet_global_avg_pool_args& t) {
  const Rows m(t.n, t.hw, t.c);
  float* part = static_cast<float*>(t.scratch);
#pragma omp parallel
  {
    pixel_sums(m, t.x, part);
    finish_sums(m, part, 1.0 / m.hw, t.out);
  }
}

void global_avg_pool_grad(const senet_global_avg_pool_grad_args& t) {
  const Rows m(t.n, t.hw, t.c);
  const bool past = m.past(kPastCaches);
  const float scale = 1.f / float(m.hw);
#pragma omp parallel
  {
    float* buffer = static_cast<float*>(__builtin_alloca_with_align(sizeof(float) * m.padded(), 512));
#pragma omp for schedule(static)
    for (int item = 0; item < m.items(); item++) {
      const float* dy = spread(m, t.dy + item / m.chunks * int64_t(m.c), buffer);
      each(m, item, [&](int64_t at, int i, auto io) {
        const Vec v = io.get(dy + i) * scale;
        io.put(t.dx + at, v, past);
      });
    }
  }
}
