// avg_pool: y (n, p, q, c) = the mean of each window of x (n, h, w, c). Padding counts as zeros, what ceil mode adds beyond it
// does not. Its gradient gathers: each pixel sums its share of the windows that contain it. Caller: kernels.go.

// One over the pixels of window (p, q), padding included.
static inline float window_share(const senet_avg_pool_args& t, int p, int q) {
  const int top = p * t.stride - t.pad, left = q * t.stride - t.pad;
  return 1.f / float((std::min(top + t.kernel, t.h + t.pad) - top) * (std::min(left + t.kernel, t.w + t.pad) - left));
}

void avg_pool(const senet_avg_pool_args& t) {
#pragma omp parallel for schedule(static) collapse(2)
  for (int i = 0; i < t.n; i++) {
    for (int p = 0; p < t.p; p++) {
      const int top = p * t.stride - t.pad, r0 = std::max(0, top), r1 = std::min(top + t.kernel, t.h);
      for (int q = 0; q < t.q; q++) {
        const int left = q * t.stride - t.pad, s0 = std::max(0, left), s1 = std::min(left + t.kernel, t.w);
        const float share = window_share(t, p, q);
        float* y = t.out + ((int64_t(i) * t.p + p) * t.q + q) * t.c;
        each_vector(t.c, [&](int ch, auto io) {
          Vec total = zero();
          for (int r = r0; r < r1; r++)
            for (int s = s0; s < s1; s++) total += io.get(t.in + ((int64_t(i) * t.h + r) * t.w + s) * t.c + ch);
          io.put(y + ch, total * share);
        });
      }
    }
  }
}

void avg_pool_grad(const senet_avg_pool_grad_args& t) {
#pragma omp parallel for schedule(static) collapse(2)
  for (int i = 0; i < t.n; i++) {
    for (int y = 0; y < t.h; y++) {
      const Span ps(y, t.kernel, t.stride, t.pad, t.p);
      for (int x = 0; x < t.w; x++) {
        const Span qs(x, t.kernel, t.stride, t.pad, t.q);
        float* dx = t.out + ((int64_t(i) * t.h + y) * t.w + x) * t.c;
        each_vector(t.c, [&](int ch, auto io) {
          Vec total = zero();
          for (int p = ps.first; p < ps.last; p++)
            for (int q = qs.first; q < qs.last; q++)
              total = fma(broadcast(window_share(t, p, q)),
                          io.get(t.in + ((int64_t(i) * t.p + p) * t.q + q) * t.c + ch), total);
          io.put(dx + ch, total);
        });
      }
    }
  }
}
