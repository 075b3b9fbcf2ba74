// global_max_pool: y (n, c) = the maximum over the pixels of x (n, hw, c) and the first pixel that has it (NaN wins), one read
// of the map; its gradient writes dx once, dy at that pixel and 0 elsewhere. Caller: kernels.go.
void global_max_pool(const senet_global_max_pool_args& t) {
  const int blocks = (t.c + kChannelBlock - 1) / kChannelBlock;
#pragma omp parallel for schedule(static) collapse(2)
  for (int i = 0; i < t.n; i++) {
    for (int block = 0; block < blocks; block++) {
      const int from = block * kChannelBlock;
      const float* x = t.x + int64_t(i) * t.hw * t.c + from;
      const int64_t to = int64_t(i) * t.c + from;
      each_vector(std::min(kChannelBlock, t.c - from), [&](int ch, auto io) {
        Vec best = broadcast(-INFINITY);
        Ints pixel{};
        for (int p = 0; p < t.hw; p++) {
          const Vec v = io.get(x + int64_t(p) * t.c + ch);
          const Ints wins = (Ints)(v > best) | (Ints)(v != v);
          best = wins ? v : best;
          pixel = wins ? Ints{} + p : pixel;
        }
        io.put(t.y + to + ch, best);
        if (t.pixel) std::memcpy(t.pixel + to + ch, &pixel, sizeof(int32_t) * io.count());
      });
    }
  }
}

void global_max_pool_grad(const senet_global_max_pool_grad_args& t) {
#pragma omp parallel for schedule(static) collapse(2)
  for (int i = 0; i < t.n; i++) {
    for (int p = 0; p < t.hw; p++) {
      const int64_t from = int64_t(i) * t.c;
      float* dx = t.dx + (int64_t(i) * t.hw + p) * t.c;
      each_vector(t.c, [&](int ch, auto io) {
        Ints pixel{};
        std::memcpy(&pixel, t.pixel + from + ch, sizeof(int32_t) * io.count());
        io.put(dx + ch, pixel == p ? io.get(t.dy + from + ch) : zero());
      });
    }
  }
}
