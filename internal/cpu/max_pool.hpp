// max_pool: y (n, p, q, c) = the maximum of each window of x (n, h, w, c), with its position r kernel + s as a byte
// (the first of equal ones; NaN wins). Its gradient gathers: each pixel sums dy of the windows that it won, so threads
// share nothing and dx is written once. Caller: kernels.go.
void max_pool(const senet_max_pool_args& t) {
#pragma omp parallel for schedule(static) collapse(2)
  for (int i = 0; i < t.n; i++) {
    for (int p = 0; p < t.p; p++) {
      const int top = p * t.stride - t.pad, r0 = std::max(0, -top), r1 = std::min(t.kernel, t.h - top);
      for (int q = 0; q < t.q; q++) {
        const int left = q * t.stride - t.pad, s0 = std::max(0, -left), s1 = std::min(t.kernel, t.w - left);
        const float* x = t.x + ((int64_t(i) * t.h + top) * t.w + left) * t.c;
        const int64_t to = ((int64_t(i) * t.p + p) * t.q + q) * t.c;
        each_vector(t.c, [&](int ch, auto io) {
          Vec best = broadcast(-INFINITY);
          Ints position = Ints{} + (r0 * t.kernel + s0);
          for (int r = r0; r < r1; r++) {
            for (int s = s0; s < s1; s++) {
              const Vec v = io.get(x + (int64_t(r) * t.w + s) * t.c + ch);
              const Ints wins = (Ints)(v > best) | (Ints)(v != v);
              best = wins ? v : best;
              position = wins ? Ints{} + (r * t.kernel + s) : position;
            }
          }
          io.put(t.y + to + ch, best);
          if (t.position) {
            const Bytes bytes = __builtin_convertvector(position, Bytes);
            std::memcpy(t.position + to + ch, &bytes, io.count());
          }
        });
      }
    }
  }
}

// The windows [first, last) along one axis that contain pixel x.
struct Span {
  int first, last;
  Span(int x, int kernel, int stride, int pad, int windows)
      : first(std::max(0, (x + pad - kernel + stride) / stride)), last(std::min(windows, (x + pad) / stride + 1)) {}
};

void max_pool_grad(const senet_max_pool_grad_args& t) {
  const int64_t row = int64_t(t.q) * t.c;
  const bool past = int64_t(t.n) * t.h * t.w * t.c >= kPastCaches && t.c % 16 == 0;
#pragma omp parallel for schedule(static) collapse(2)
  for (int i = 0; i < t.n; i++) {
    for (int y = 0; y < t.h; y++) {
      const Span ps(y, t.kernel, t.stride, t.pad, t.p);
      float* dx = t.dx + (int64_t(i) * t.h + y) * t.w * t.c;
      for (int x = 0; x < t.w; x++, dx += t.c) {
        const Span qs(x, t.kernel, t.stride, t.pad, t.q);
        const int64_t first = (int64_t(i) * t.p + ps.first) * row + qs.first * t.c;
        const int here = (y + t.pad - ps.first * t.stride) * t.kernel + x + t.pad - qs.first * t.stride;
        each_vector(t.c, [&](int ch, auto io) {
          Vec total = zero();
          for (int p = 0; p < ps.last - ps.first; p++) {
            for (int q = 0; q < qs.last - qs.first; q++) {
              const int64_t from = first + p * row + q * t.c + ch;
              Bytes position{};
              std::memcpy(&position, t.position + from, io.count());
              const Ints wins =
                  __builtin_convertvector(position == uint8_t(here - (p * t.kernel + q) * t.stride), Ints);
              total += (Vec)((Ints)io.get(t.dy + from) & wins);
            }
          }
          io.put(dx + ch, total, past);
        });
      }
    }
  }
}
