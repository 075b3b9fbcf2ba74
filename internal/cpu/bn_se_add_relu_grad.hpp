// bn_se_add_relu_grad: the gradient of the block's tail. With g = (dout + dout2) where out > 0, r = 1/sqrt(var + eps):
//   A[n,c] = sum g, B[n,c] = sum g (y - mean)
//   dgate = gamma r B + beta A -> through sigmoid, w2, ReLU, w1 -> dz[n,c]
//   dbeta = sum_n (gate A + dz);  dgamma = sum_n (gate r B + dz r (m - mean))
//   dy = p g + q y + t,  p[n,c] = gamma r gate,  q[c] = -gamma r^2 dgamma / M,
//   t[n,c] = gamma r (dz/hw - dbeta/M + mean r dgamma/M),  M = n hw
// Two passes over the map: sums read dout, y and, with a shortcut, out (12 bytes an element; an identity
// shortcut's gradient is g itself and is written here, 4 more), and the last reads g (or dout and the mask
// again) and y and writes dy. Without a shortcut the mask is recomputed from y. dy may lie over y,
// dshortcut over dout or the raw shortcut: each element is read before it is written. Any gradient may be
// null: not wanted.
// Where the statistics are of R ranks, dy needs dbeta and dgamma over all of their images, and M = R n hw. Their mean over ranks
// divided by n hw is the same, and that is what sums then hold; the parameters' gradients stay this rank's (why that is right:
// affineGrad in internal/ref). Callers: tail.go, sync_bn.go.

template <int k>
using Int = std::integral_constant<int, k>;

enum Mask { kNoMask, kMaskFromY, kMaskFromOut };  // where ReLU's sign is read

// The operands of one walk; null where a template argument leaves them out.
struct GradMaps {
  const float *dout, *dout2, *out, *y, *x;  // (n, hw, c); x is the raw projection
  float *dy, *dx;                           // (n, hw, c); of sums, dx is the identity shortcut's gradient
};

// The masked gradient at float p; a, b are the forward's affine there.
template <int kMask, bool kTwo, typename IO>
static inline __attribute__((always_inline)) Vec masked(const GradMaps& t, int64_t p, Vec y, Vec a, Vec b, IO io) {
  read_ahead(t.dout + p);
  read_ahead(t.y + p);
  if constexpr (kMask == kMaskFromOut) read_ahead(t.out + p);
  Vec g = io.get(t.dout + p);
  if constexpr (kTwo) g += io.get(t.dout2 + p);
  if constexpr (kMask == kMaskFromY) g = fma(a, y, b) > 0 ? g : zero();
  if constexpr (kMask == kMaskFromOut) g = io.get(t.out + p) > 0 ? g : zero();
  return g;
}

// part (items, 3, c): sums of g, g (y - mean), g (x - mean2). Called by every thread of a team.
template <int kShortcut, int kMask, bool kTwo>
static void grad_sums(const Rows& m, const GradMaps& t, const TailScratch& s, bool per_image, const float* mean,
                      const float* mean2) {
  const int width = m.padded();
  const bool past = m.past(kPastCaches) && t.dx != t.dout && t.dx != t.dout2;
  float* buffer = static_cast<float*>(__builtin_alloca_with_align(sizeof(float) * 7 * width, 512));
  float *total = buffer, *cross = total + width, *cross2 = cross + width, *row = cross2 + width;
  mean = spread(m, mean, row);
  if (kShortcut == kProjection) mean2 = spread(m, mean2, row + width);
#pragma omp for schedule(static)
  for (int item = 0; item < m.items(); item++) {
    const int64_t image = per_image ? item / m.chunks * int64_t(m.c) : 0;
    const float* a = kMask == kMaskFromY ? spread(m, s.a + image, row + 2 * width) : nullptr;
    const float* b = kMask == kMaskFromY ? spread(m, s.b + image, row + 3 * width) : nullptr;
    std::memset(total, 0, sizeof(float) * 3 * width);
    each(m, item, [&](int64_t at, int i, auto io) {
      Vec sg = io.get(total + i), sy = io.get(cross + i), sx = zero();
      const Vec va = kMask == kMaskFromY ? io.get(a + i) : zero(), vb = kMask == kMaskFromY ? io.get(b + i) : zero();
      const Vec mu = io.get(mean + i);
      if constexpr (kShortcut == kProjection) sx = io.get(cross2 + i);
      const Vec y = io.get(t.y + at), g = masked<kMask, kTwo>(t, at, y, va, vb, io);
      sg += g;
      sy = fma(g, y - mu, sy);
      if constexpr (kShortcut == kProjection) sx = fma(g, io.get(t.x + at) - io.get(mean2 + i), sx);
      if constexpr (kShortcut == kIdentity) io.put(t.dx + at, g, past);
      io.put(total + i, sg);
      io.put(cross + i, sy);
      if constexpr (kShortcut == kProjection) io.put(cross2 + i, sx);
    });
    for (int k = 0; k < (kShortcut == kProjection ? 3 : 2); k++)
      fold(m, total + k * width, s.part + (int64_t(item) * 3 + k) * m.c);
  }
}

// dy = p g + q y + t with p, t (n or 1, c), q (c); a projection's dx likewise with its own. Called by every thread of a team.
template <bool kProject, int kMask, bool kTwo>
static void grad_apply(const Rows& m, const GradMaps& t, const TailScratch& s, bool per_image) {
  const int width = m.padded();
  const bool past = m.past(kPastCaches) && t.dy != t.y, past2 = m.past(kPastCaches) && t.dx != t.x && t.dx != t.dout;
  float* buffer = static_cast<float*>(__builtin_alloca_with_align(sizeof(float) * 8 * width, 512));
  const float* q = spread(m, s.q, buffer);
  const float* p2 = kProject ? spread(m, s.p2, buffer + width) : nullptr;
  const float* q2 = kProject ? spread(m, s.q2, buffer + 2 * width) : nullptr;
  const float* t2 = kProject ? spread(m, s.t2, buffer + 3 * width) : nullptr;
#pragma omp for schedule(static)
  for (int item = 0; item < m.items(); item++) {
    const int64_t image = per_image ? item / m.chunks * int64_t(m.c) : 0;
    const float *p = spread(m, s.p + image, buffer + 4 * width), *tt = spread(m, s.t + image, buffer + 5 * width);
    const float* a = kMask == kMaskFromY ? spread(m, s.a + image, buffer + 6 * width) : nullptr;
    const float* b = kMask == kMaskFromY ? spread(m, s.b + image, buffer + 7 * width) : nullptr;
    each(m, item, [&](int64_t at, int i, auto io) {
      const Vec vp = io.get(p + i), vq = io.get(q + i), vt = io.get(tt + i);
      const Vec va = kMask == kMaskFromY ? io.get(a + i) : zero(), vb = kMask == kMaskFromY ? io.get(b + i) : zero();
      const Vec y = io.get(t.y + at), g = masked<kMask, kTwo>(t, at, y, va, vb, io);
      if constexpr (kProject)
        io.put(t.dx + at, fma(io.get(p2 + i), g, fma(io.get(q2 + i), io.get(t.x + at), io.get(t2 + i))), past2);
      io.put(t.dy + at, fma(vp, g, fma(vq, y, vt)), past);
    });
  }
}

// Calls f with mask and two as compile-time constants.
template <typename F>
static inline void mask_case(int mask, bool two, F f) {
  auto with = [&](auto kMask) { two ? f(kMask, std::true_type{}) : f(kMask, std::false_type{}); };
  if (mask == kNoMask) return with(Int<kNoMask>{});
  mask == kMaskFromY ? with(Int<kMaskFromY>{}) : with(Int<kMaskFromOut>{});
}

static inline void maybe(float* to, int at, double v) {
  if (to) to[at] = float(v);
}

// sums (2, c), of dbeta and dgamma, for a batch norm without SE, from the sums of g and of kind `cross`. Called by every thread of a team.
static void bn_sums(const Rows& m, const float* part, int cross, const float* var, float eps, double* sums,
                    float* dgamma, float* dbeta) {
#pragma omp for schedule(static)
  for (int from = 0; from < m.c; from += kChannelBlock) {
    const int to = std::min(m.c, from + kChannelBlock);
    double sg[kChannelBlock] = {}, sy[kChannelBlock] = {}, one[kChannelBlock];
    for (int i = 0; i < m.n; i++) {
      add_chunks(m, part, 3, 0, i, from, to, one);
      for (int k = 0; k < to - from; k++) sg[k] += one[k];
      add_chunks(m, part, 3, cross, i, from, to, one);
      for (int k = 0; k < to - from; k++) sy[k] += one[k];
    }
    for (int ch = from; ch < to; ch++) {
      sums[ch] = sg[ch - from];
      sums[m.c + ch] = 1 / std::sqrt(double(var[ch]) + eps) * sy[ch - from];
      maybe(dbeta, ch, sums[ch]);
      maybe(dgamma, ch, sums[m.c + ch]);
    }
  }
}

// p, q, t (c) for a batch norm without SE, from sums (2, c). Called by every thread of a team.
static void bn_coefficients(const Rows& m, const double* sums, const float* gamma, const float* mean, const float* var,
                            float eps, float* p, float* q, float* tt) {
  const double count = double(m.n) * m.hw;
#pragma omp for schedule(static)
  for (int ch = 0; ch < m.c; ch++) {
    const double r = 1 / std::sqrt(double(var[ch]) + eps), gr = gamma[ch] * r, db = sums[ch], dg = sums[m.c + ch];
    p[ch] = float(gr);
    q[ch] = float(-gr * r * dg / count);
    tt[ch] = float(gr * (mean[ch] * r * dg - db) / count);
  }
}

// From A, B (n, c) to the gradient at the gate's sigmoid (over s.p, which is free until se_coefficients) and z (n, c).
// Called by every thread of a team.
static void gate_grad(const Rows& m, const senet_bn_se_add_relu_grad_args& t, const TailScratch& s) {
  const int blocks = (m.c + kChannelBlock - 1) / kChannelBlock;
#pragma omp for schedule(static) collapse(2)
  for (int i = 0; i < m.n; i++) {
    for (int block = 0; block < blocks; block++) {
      const int from = block * kChannelBlock, to = std::min(m.c, from + kChannelBlock);
      double A[kChannelBlock], B[kChannelBlock];
      add_chunks(m, s.part, 3, 0, i, from, to, A);
      add_chunks(m, s.part, 3, 1, i, from, to, B);
#pragma omp simd
      for (int ch = from; ch < to; ch++) {
        const int64_t at = int64_t(i) * m.c + ch;
        const double gr = t.gamma[ch] / std::sqrt(double(t.var[ch]) + t.eps), gate = t.gate[at];
        s.A[at] = float(A[ch - from]);
        s.B[at] = float(B[ch - from]);
        s.p[at] = float((gr * B[ch - from] + t.beta[ch] * A[ch - from]) * gate * (1 - gate));
        s.z[at] = float(gr * (double(t.image_mean[at]) - t.mean[ch]) + t.beta[ch]);
      }
    }
  }
}

// Through the two fully connected layers: from s.p to dz (over s.t) and the weights' gradients. Called by every thread of a team.
static void excite_grad(const senet_bn_se_add_relu_grad_args& t, const TailScratch& s) {
  const int n = t.n, c = t.c, r = t.r;
  product_nn(n, c, r, s.p, c, 1, t.w2, s.dh, r);
#pragma omp for schedule(static)
  for (int i = 0; i < n; i++) {
    const int64_t row = int64_t(i) * r;
    each_vector(r, [&](int k, auto io) {
      float* dh = s.dh + row + k;
      io.put(dh, io.get(t.hidden + row + k) > 0 ? io.get(dh) : zero());
    });
  }
  product_nn(n, r, c, s.dh, r, 1, t.w1, s.t, c);
  if (t.dw2) product_nn(c, n, r, s.p, 1, c, t.hidden, t.dw2, r);
  if (t.dw1) product_nn(r, n, c, s.dh, 1, r, s.z, t.dw1, c);
  const float one = 1;
  if (t.db2) product_nn(1, n, c, &one, 0, 0, s.p, t.db2, c);
  if (t.db1) product_nn(1, n, r, &one, 0, 0, s.dh, t.db1, r);
}

// The gradients of gamma and beta; dz lies in s.t. Called by every thread of a team.
static void se_sums(const Rows& m, const senet_bn_se_add_relu_grad_args& t, const TailScratch& s) {
#pragma omp for schedule(static)
  for (int from = 0; from < m.c; from += kChannelBlock) {
    const int to = std::min(m.c, from + kChannelBlock);
    double db[kChannelBlock] = {}, dg[kChannelBlock] = {};
    for (int i = 0; i < m.n; i++) {
#pragma omp simd
      for (int ch = from; ch < to; ch++) {
        const int64_t at = int64_t(i) * m.c + ch;
        const double dz = s.t[at], gate = t.gate[at];
        db[ch - from] += gate * s.A[at] + dz;
        dg[ch - from] += gate * s.B[at] + dz * (double(t.image_mean[at]) - t.mean[ch]);
      }
    }
    for (int ch = from; ch < to; ch++) {
      s.sums[ch] = db[ch - from];
      s.sums[m.c + ch] = 1 / std::sqrt(double(t.var[ch]) + t.eps) * dg[ch - from];
      maybe(t.dbeta, ch, s.sums[ch]);
      maybe(t.dgamma, ch, s.sums[m.c + ch]);
    }
  }
}

// p, t (n, c), q (c), from s.sums; dz lies in s.t. Called by every thread of a team.
static void se_coefficients(const Rows& m, const senet_bn_se_add_relu_grad_args& t, const TailScratch& s) {
  const double count = double(m.n) * m.hw;
#pragma omp for schedule(static)
  for (int from = 0; from < m.c; from += kChannelBlock) {
    const int to = std::min(m.c, from + kChannelBlock);
    double gr[kChannelBlock], shift[kChannelBlock];
    for (int ch = from; ch < to; ch++) {
      const double r = 1 / std::sqrt(double(t.var[ch]) + t.eps), db = s.sums[ch], dg = s.sums[m.c + ch];
      gr[ch - from] = t.gamma[ch] * r;
      shift[ch - from] = (t.mean[ch] * r * dg - db) / count;
      s.q[ch] = float(-gr[ch - from] * r * dg / count);
    }
    for (int i = 0; i < m.n; i++) {
#pragma omp simd
      for (int ch = from; ch < to; ch++) {
        const int64_t at = int64_t(i) * m.c + ch;
        s.p[at] = float(gr[ch - from] * t.gate[at]);
        s.t[at] = float(gr[ch - from] * (double(s.t[at]) / m.hw + shift[ch - from]));
      }
    }
  }
}

// The pass that writes dy and a projection's dshortcut, as far as they are wanted. Called by every thread of a team.
static void grad_maps(const Rows& m, const senet_bn_se_add_relu_grad_args& t, TailScratch s, int mask) {
  const bool two = t.dout2 != nullptr, project = t.shortcut_gamma && t.dshortcut, per_image = t.gate != nullptr;
  GradMaps maps{t.dout, t.dout2, t.out, t.y, t.shortcut, t.dy, t.dshortcut};
  if (t.dy && project)
    return mask_case(mask, two, [&](auto kMask, auto kTwo) { grad_apply<true, kMask, kTwo>(m, maps, s, per_image); });
  if (project) {  // dshortcut alone: it takes the place of dy
    maps.y = t.shortcut;
    maps.dy = t.dshortcut;
    s.p = s.p2, s.q = s.q2, s.t = s.t2;
    return mask_case(mask, two, [&](auto kMask, auto kTwo) { grad_apply<false, kMask, kTwo>(m, maps, s, false); });
  }
  if (!t.dy) return;
  if (!t.shortcut_gamma && t.dshortcut) {  // an identity shortcut's gradient already is g
    maps.dout = t.dshortcut;
    return grad_apply<false, kNoMask, false>(m, maps, s, per_image);
  }
  mask_case(mask, two, [&](auto kMask, auto kTwo) { grad_apply<false, kMask, kTwo>(m, maps, s, per_image); });
}

// All up to s.sums, with the gradients of the parameters. Called by every thread of a team.
static void tail_sums(const Rows& m, const senet_bn_se_add_relu_grad_args& t, const TailScratch& s, int mask) {
  const bool projection = t.shortcut_gamma != nullptr, per_image = t.gate != nullptr;
  const GradMaps maps{t.dout, t.dout2, t.out, t.y, t.shortcut, t.dy, t.dshortcut};
  if (mask == kMaskFromY) {
    affine(t.c, t.gamma, t.beta, t.mean, t.var, t.eps, s.a, s.b);
    if (t.gate) gated(t.n, t.c, t.gate, s.a, s.b);
  }
  mask_case(mask, t.dout2 != nullptr, [&](auto kMask, auto kTwo) {
    if (projection) grad_sums<kProjection, kMask, kTwo>(m, maps, s, per_image, t.mean, t.shortcut_mean);
    else if (t.dshortcut) grad_sums<kIdentity, kMask, kTwo>(m, maps, s, per_image, t.mean, nullptr);
    else grad_sums<kNone, kMask, kTwo>(m, maps, s, per_image, t.mean, nullptr);
  });
  if (t.gate) {
    gate_grad(m, t, s);
    excite_grad(t, s);
    se_sums(m, t, s);
  } else {
    bn_sums(m, s.part, 1, t.var, t.eps, s.sums, t.dgamma, t.dbeta);
  }
  if (projection)
    bn_sums(m, s.part, 2, t.shortcut_var, t.shortcut_eps, s.sums + 2 * m.c, t.dshortcut_gamma, t.dshortcut_beta);
}

// From s.sums to the gradients of maps. Called by every thread of a team.
static void tail_maps(const Rows& m, const senet_bn_se_add_relu_grad_args& t, const TailScratch& s, int mask) {
  if (t.gate) se_coefficients(m, t, s);
  else bn_coefficients(m, s.sums, t.gamma, t.mean, t.var, t.eps, s.p, s.q, s.t);
  if (t.shortcut_gamma)
    bn_coefficients(m, s.sums + 2 * m.c, t.shortcut_gamma, t.shortcut_mean, t.shortcut_var, t.shortcut_eps, s.p2, s.q2,
                    s.t2);
  grad_maps(m, t, s, mask);
}

void bn_se_add_relu_grad(const senet_bn_se_add_relu_grad_args& t) {
  const Rows m(t.n, t.hw, t.c);
  const TailScratch s(m, t.r, t.scratch);
  const int mask = !t.relu ? kNoMask : t.out ? kMaskFromOut : kMaskFromY;
#pragma omp parallel
  {
    if (t.stage != SENET_TAIL_REST) tail_sums(m, t, s, mask);
    if (t.stage != SENET_TAIL_SUMS) tail_maps(m, t, s, mask);
  }
}
