// normalize: out = image * scale + shift per channel, with scale = 1/(255 std), shift = -mean/std.
// NHWC bytes to NHWC floats, 5 bytes an element. Caller: kernels.go.
void normalize(const senet_normalize_args& t) {
  const Rows m(1, int(t.pixels), t.c);
#pragma omp parallel
  {
    float* buffer = static_cast<float*>(__builtin_alloca_with_align(sizeof(float) * 2 * m.padded(), 512));
    const float *scale = spread(m, t.scale, buffer), *shift = spread(m, t.shift, buffer + m.padded());
#pragma omp for schedule(static)
    for (int item = 0; item < m.items(); item++) {
      each(m, item, [&](int64_t at, int i, auto io) {
        Bytes pixels{};
        std::memcpy(&pixels, t.image + at, io.count());
        io.put(t.out + at, fma(__builtin_convertvector(pixels, Vec), io.get(scale + i), io.get(shift + i)));
      });
    }
  }
}
