// bn_se_add_relu: the tail of a residual block, or plain batch norm (+ ReLU).
//   mean, var over (n, hw) of y;  u = gamma (y - mean) / sqrt(var + eps) + beta
//   z = mean over hw of u = gamma (m - mean) / sqrt(var + eps) + beta, with m the per-image mean of y
//   gate = sigmoid(w2 relu(w1 z + b1) + b2);  out = relu?(gate u + shortcut) = relu?(a y + b + shortcut)
// Two passes over the map: one reads y for sums and squares per image and channel, one reads y
// (and the shortcut) and writes out, 12 (16) bytes an element; SE adds only (n, c)-sized work between
// them. A raw projection as shortcut gets its own statistics and a second affine term. Callers: tail.go, and for statistics
// over several ranks sync_bn.go.

// Sums of y - shift and of its square for each item, where shift is the image's first pixel: close to the mean, so the
// squares do not cancel. part is (items, 2, c). Called by every thread of a team.
static void moment_sums(const Rows& m, const float* y, float* part) {
  const int width = m.padded();
  float* buffer = static_cast<float*>(__builtin_alloca_with_align(sizeof(float) * 3 * width, 512));
  float *total = buffer, *square = buffer + width;
#pragma omp for schedule(static)
  for (int item = 0; item < m.items(); item++) {
    const float* shift = spread(m, y + item / m.chunks * m.image, buffer + 2 * width);
    std::memset(total, 0, sizeof(float) * 2 * width);
    each(m, item, [&](int64_t at, int i, auto io) {
      const Vec sh = io.get(shift + i);
      Vec s = io.get(total + i), sq = io.get(square + i);
      const Vec d = io.get(y + at) - sh;
      s += d;
      sq = fma(d, d, sq);
      io.put(total + i, s);
      io.put(square + i, sq);
    });
    fold(m, total, part + int64_t(item) * 2 * m.c);
    fold(m, square, part + (int64_t(item) * 2 + 1) * m.c);
  }
}

// From moment_sums to the mean and biased variance (c), and the mean of each image (n, c) unless null: images are joined
// one by one (Chan et al. 1983). Called by every thread of a team.
static void moments(const Rows& m, const float* y, const float* part, float* mean, float* var, float* image_mean) {
#pragma omp for schedule(static)
  for (int from = 0; from < m.c; from += kChannelBlock) {
    const int to = std::min(m.c, from + kChannelBlock), count = to - from;
    double mu[kChannelBlock] = {}, between[kChannelBlock] = {}, within[kChannelBlock] = {};
    for (int i = 0; i < m.n; i++) {
      double s[kChannelBlock], sq[kChannelBlock];
      add_chunks(m, part, 2, 0, i, from, to, s);
      add_chunks(m, part, 2, 1, i, from, to, sq);
      const float* shift = y + i * m.image + from;
      float* of_image = image_mean ? image_mean + int64_t(i) * m.c + from : nullptr;
      const double share = 1.0 / (i + 1), per_pixel = 1.0 / m.hw;
#pragma omp simd
      for (int k = 0; k < count; k++) {
        const double offset = s[k] * per_pixel, image = shift[k] + offset, d = image - mu[k];
        within[k] += sq[k] - s[k] * offset;
        mu[k] += d * share;
        between[k] += d * d * (i * share);
        if (of_image) of_image[k] = float(image);
      }
    }
    for (int k = 0; k < count; k++) {
      const double v = within[k] / (double(m.n) * m.hw) + between[k] / m.n;
      mean[from + k] = float(mu[k]);
      var[from + k] = float(v < 0 ? 0 : v);  // rounding only; lets NaN through
    }
  }
}

// a, b (c) such that a y + b = gamma (y - mean) / sqrt(var + eps) + beta. Called by every thread of a team.
static void affine(int c, const float* gamma, const float* beta, const float* mean, const float* var, float eps,
                   float* a, float* b) {
#pragma omp for schedule(static)
  for (int ch = 0; ch < c; ch++) {
    a[ch] = float(gamma[ch] / std::sqrt(double(var[ch]) + eps));
    b[ch] = float(beta[ch] - double(a[ch]) * mean[ch]);
  }
}

// a, b (n, c) = gate (n, c) * a, b (c); a and b hold the latter in their first row. Called by every thread of a team.
static void gated(int n, int c, const float* gate, float* a, float* b) {
  const int blocks = (c + kChannelBlock - 1) / kChannelBlock;
#pragma omp for schedule(static)
  for (int block = 0; block < blocks; block++) {
    const int from = block * kChannelBlock, to = std::min(c, from + kChannelBlock);
    for (int i = n - 1; i >= 0; i--) {  // the first row last: it is the source
      for (int ch = from; ch < to; ch++) {
        const int64_t at = int64_t(i) * c + ch;
        a[at] = gate[at] * a[ch];
        b[at] = gate[at] * b[ch];
      }
    }
  }
}

enum Shortcut { kNone, kIdentity, kProjection };

// out = relu?(a y + b + shortcut [* a2 + b2]) with a, b (n or 1, c) and a2, b2 (c). Called by every thread of a team.
template <int kShortcut, bool kReLU>
static void apply(const Rows& m, const float* y, const float* x, const TailScratch& s, bool per_image, float* out) {
  const int width = m.padded();
  const bool past = m.past(kPastCaches);
  float* buffer = static_cast<float*>(__builtin_alloca_with_align(sizeof(float) * 4 * width, 512));
  const float* a2 = kShortcut == kProjection ? spread(m, s.a2, buffer + 2 * width) : nullptr;
  const float* b2 = kShortcut == kProjection ? spread(m, s.b2, buffer + 3 * width) : nullptr;
#pragma omp for schedule(static)
  for (int item = 0; item < m.items(); item++) {
    const int64_t image = per_image ? item / m.chunks * int64_t(m.c) : 0;
    const float *a = spread(m, s.a + image, buffer), *b = spread(m, s.b + image, buffer + width);
    each(m, item, [&](int64_t at, int i, auto io) {
      const Vec va = io.get(a + i), vb = io.get(b + i);
      Vec v = fma(va, io.get(y + at), vb);
      if constexpr (kShortcut == kIdentity) v += io.get(x + at);
      if constexpr (kShortcut == kProjection) v += fma(io.get(a2 + i), io.get(x + at), io.get(b2 + i));
      io.put(out + at, kReLU ? relu(v) : v, past);
    });
  }
}

template <bool kReLU>
static void apply(const Rows& m, const senet_bn_se_add_relu_args& t, const TailScratch& s) {
  const bool gate = t.gate != nullptr;
  if (t.shortcut_gamma) return apply<kProjection, kReLU>(m, t.y, t.shortcut, s, gate, t.out);
  if (t.shortcut) return apply<kIdentity, kReLU>(m, t.y, t.shortcut, s, gate, t.out);
  apply<kNone, kReLU>(m, t.y, nullptr, s, gate, t.out);
}

// Mean and variance of y and of a projection. Called by every thread of a team.
static void statistics(const Rows& m, const senet_bn_se_add_relu_args& t, const TailScratch& s) {
  moment_sums(m, t.y, s.part);
  moments(m, t.y, s.part, t.mean, t.var, t.image_mean);
  if (t.shortcut_gamma) {
    moment_sums(m, t.shortcut, s.part);
    moments(m, t.shortcut, s.part, t.shortcut_mean, t.shortcut_var, nullptr);
  }
}

// From the statistics to out. Called by every thread of a team.
static void normalise(const Rows& m, const senet_bn_se_add_relu_args& t, const TailScratch& s) {
  affine(m.c, t.gamma, t.beta, t.mean, t.var, t.eps, s.a, s.b);
  if (t.shortcut_gamma)
    affine(m.c, t.shortcut_gamma, t.shortcut_beta, t.shortcut_mean, t.shortcut_var, t.shortcut_eps, s.a2, s.b2);
  if (t.gate) {
#pragma omp for schedule(static)
    for (int i = 0; i < m.n; i++)
      each_vector(m.c, [&](int ch, auto io) {
        const int64_t at = int64_t(i) * m.c + ch;
        io.put(s.z + at, fma(io.get(s.a + ch), io.get(t.image_mean + at) - io.get(t.mean + ch), io.get(t.beta + ch)));
      });
    excite(m.n, m.c, t.r, s.z, t.w1, t.b1, t.w2, t.b2, t.hidden, t.gate);
    gated(m.n, m.c, t.gate, s.a, s.b);
  }
  (t.relu ? apply<true> : apply<false>)(m, t, s);
}

void bn_se_add_relu(const senet_bn_se_add_relu_args& t) {
  const Rows m(t.n, t.hw, t.c);
  const TailScratch s(m, t.r, t.scratch);
#pragma omp parallel
  {
    if (t.stage != SENET_TAIL_REST) statistics(m, t, s);
    if (t.stage != SENET_TAIL_SUMS) normalise(m, t, s);
  }
}
