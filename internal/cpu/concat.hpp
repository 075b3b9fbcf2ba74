// concat: whole (pixels, sum of c) from maps (pixels, c), and its gradient, the maps from the whole. 8 bytes an element.
// Caller: kernels.go.
template <typename F>
static inline void each_stretch(const senet_concat_args& t, F f) {
#pragma omp parallel for schedule(static)
  for (int64_t p = 0; p < t.pixels; p++) {
    float* whole = t.whole + p * t.c;
    for (int i = 0; i < t.maps; i++) {
      const senet_concat_map& m = t.list[i];
      if (m.map) f(whole, m.map + p * m.c, sizeof(float) * m.c);
      whole += m.c;
    }
  }
}

void concat(const senet_concat_args& t) {
  each_stretch(t, [](float* whole, float* map, size_t bytes) { std::memcpy(whole, map, bytes); });
}

void concat_grad(const senet_concat_grad_args& t) {
  each_stretch(t, [](float* whole, float* map, size_t bytes) { std::memcpy(map, whole, bytes); });
}
