// early_squeeze: out (n, k) = mean over pixels of conv(x (n, h, w, c), weight (k, c, r, s)) + bias (k), without the
// convolution: a sum over pixels commutes with it, so each window position (r, s) needs only the sum of x over the
// pixels it meets. One read of x, then 2 n k r s c flops. Caller: kernels.go.

// Columns (or rows) that window position s meets: first, first + stride, ... below last.
struct Meets {
  int first, last;
  Meets(int s, int stride, int pad, int windows, int size)
      : first(std::max(0, (pad - s + stride - 1) / stride) * stride - pad + s),
        last(std::min(size, (windows - 1) * stride - pad + s + 1)) {}
};

// to (tile) += x[columns] for the columns that all positions meet, then for each position s (s, tile) those it alone
// meets. Few are its own at stride 1, so a row is added up about once, not s times.
static inline void row_sums(const senet_early_squeeze_args& t, const float* row, int ch, int tile, float* to) {
  const bool shared = t.stride == 1 && t.q >= t.s;  // then some column is met by all
  const Meets low(0, t.stride, t.pad, t.q, t.w), high(t.s - 1, t.stride, t.pad, t.q, t.w);
  const int from = high.first, until = std::max(low.last, from);
  each_vector(tile, [&](int i, auto io) {
    const float* x = row + ch + i;
    Vec common = zero();
    if (shared)
      for (int column = from; column < until; column++) common += io.get(x + int64_t(column) * t.c);
    for (int s = 0; s < t.s; s++) {
      const Meets own(s, t.stride, t.pad, t.q, t.w);
      Vec v = common;
      if (shared) {
        for (int column = own.first; column < from; column++) v += io.get(x + int64_t(column) * t.c);
        for (int column = until; column < own.last; column++) v += io.get(x + int64_t(column) * t.c);
      } else {
        for (int column = own.first; column < own.last; column += t.stride) v += io.get(x + int64_t(column) * t.c);
      }
      io.put(to + s * kChannelBlock + i, v);
    }
  });
}

// Sums of one image over each window position for channels [ch, ch + tile), as sums (c, r, s), the order of a weight.
static void window_sums(const senet_early_squeeze_args& t, const float* x, int ch, int tile, float* sums) {
  const int window = t.r * t.s, columns = t.s * kChannelBlock;
  float* buffer = static_cast<float*>(__builtin_alloca_with_align(sizeof(float) * (t.r + 1) * columns, 512));
  float *total = buffer, *row = buffer + t.r * columns;  // (r, s, tile), (s, tile)
  std::memset(buffer, 0, sizeof(float) * (t.r + 1) * columns);
  for (int y = 0; y < t.h; y++) {
    row_sums(t, x + int64_t(y) * t.w * t.c, ch, tile, row);
    for (int r = 0; r < t.r; r++) {
      const int p = y + t.pad - r;  // stride times the output row that meets y at window row r
      if (p < 0 || p % t.stride || p / t.stride >= t.p) continue;
      float* to = total + r * columns;
      each_vector(columns, [&](int i, auto io) { io.put(to + i, io.get(to + i) + io.get(row + i)); });
    }
  }
  for (int i = 0; i < tile; i++)
    for (int j = 0; j < window; j++) sums[int64_t(ch + i) * window + j] = total[j * kChannelBlock + i];
}

void early_squeeze(const senet_early_squeeze_args& t) {
  const int window = t.r * t.s, tiles = (t.c + kChannelBlock - 1) / kChannelBlock;
  const int64_t per_image = int64_t(t.c) * window;
  float* sums = static_cast<float*>(t.scratch);  // (n, c, r, s)
#pragma omp parallel
  {
    if (window == 1 && t.stride == 1 && t.pad == 0) {  // every pixel counts: read x in the order it lies
      const Rows m(t.n, t.h * t.w, t.c);
      float* part = sums + (t.n * per_image + 15) / 16 * 16;
      pixel_sums(m, t.x, part);
      finish_sums(m, part, 1, sums);
    } else {
#pragma omp for schedule(static) collapse(2)
      for (int i = 0; i < t.n; i++)
        for (int b = 0; b < tiles; b++)
          window_sums(t, t.x + int64_t(i) * t.h * t.w * t.c, b * kChannelBlock,
                      std::min(kChannelBlock, t.c - b * kChannelBlock), sums + i * per_image);
    }
    product_nt(t.n, t.k, int(per_image), sums, per_image, t.weight, per_image, 1.f / (float(t.p) * float(t.q)), t.out,
               t.k);
#pragma omp for schedule(static)
    for (int i = 0; i < t.n; i++)
      for (int k = 0; k < t.k; k++) t.out[int64_t(i) * t.k + k] += t.bias[k];
  }
}
