// conv_grad_weight: dw (r, s, c, k) of a convolution from x (n, h, w, c) and dy (n, p, q, k), k a multiple of kWidth. The part of each
// row of the kernel is a product of two matrices: that row of all windows (pixels of y, s c), transposed, times dy (pixels of y, k).
// Windows of one pixel are read where they lie, wider ones are gathered, a chunk of pixels at a time. The pixels are cut
// into slices with products of their own, which are added up in the end. Caller: conv_grad_weight.go.

// Row r of the windows of count pixels of y from first on, their floats [from, from + width), to V (count, width).
static void gather_windows(const senet_conv_grad_weight_args& t, int64_t first, int count, int r, int from, int width,
                           float* V) {
  int64_t image = first / (t.p * t.q);
  int y = first % (t.p * t.q) / t.q, x = first % t.q;
  const int row = t.w * t.c;
  for (int i = 0; i < count; i++, V += width) {
    const int h = y * t.stride - t.pad + r, at = (x * t.stride - t.pad) * t.c + from;  // floats into the row of x
    const bool inside = h >= 0 && h < t.h;
    const int begin = inside ? std::clamp(-at, 0, width) : width, end = std::clamp(row - at, begin, width);
    const float* pixels = t.x + (image * t.h + h) * row + at;
    if (begin > 0) std::memset(V, 0, begin * sizeof(float));
    if (end < width) std::memset(V + end, 0, (width - end) * sizeof(float));
    each_vector(end - begin, [&](int j, auto io) { io.put(V + begin + j, io.get(pixels + begin + j)); });
    if (++x < t.q) continue;
    x = 0;
    if (++y < t.p) continue;
    y = 0, image++;
  }
}

// Calls for rows (width) of a matrix, step floats apart, before they are read.
static void prefetch_rows(const float* row, int64_t step, int rows, int width) {
  for (int i = 0; i < rows; i++, row += step)
    for (int j = 0; j < width; j += 16) __builtin_prefetch(row + j);
}

// M (depths, widths, kDepth, kWidth) of a slice, the blocks of group of kernel row r. V holds a chunk of windows.
static void slice_product(const senet_conv_grad_weight_args& t, const GradWeightPlan& p, int slice, int r, int group,
                          float* V, float* M) {
  const bool direct = t.s == 1 && t.stride == 1 && t.pad == 0;
  const int a0 = group * p.high, a1 = std::min(p.depths, a0 + p.high), from = a0 * kDepth;
  const int depth = t.s * t.c, width = std::min(a1 * kDepth, depth) - from, products = (a1 - a0) * p.widths;
  const int64_t begin = slice * p.slice, end = std::min(p.pixels, begin + p.slice), step = direct ? t.c : width;
  for (int64_t first = begin; first < end; first += p.chunk) {
    const int count = std::min<int64_t>(p.chunk, end - first), next = std::min<int64_t>(p.chunk, end - first - count);
    const float *dy = t.dy + first * t.k, *x = direct ? t.x + first * t.c + from : V;
    if (!direct) gather_windows(t, first, count, r, from, width, V);
    for (int i = 0; i < products; i++) {
      const int a = a0 + i / p.widths, b = i % p.widths;
      const int ahead = count + next * i / products, rows = count + next * (i + 1) / products - ahead;
      prefetch_rows(dy + ahead * t.k, t.k, rows, t.k);
      if (direct) prefetch_rows(x + ahead * t.c, t.c, rows, width);
      block_product<1>(std::min(kDepth, depth - a * kDepth), count, kWidth, x + (a - a0) * kDepth, step,
                       dy + b * kWidth, t.k, M + (int64_t(a) * p.widths + b) * kDepth * kWidth, first > begin);
    }
  }
}

// Row i of dw as a matrix (r s c, k), from the products of all slices.
static void add_slices(const senet_conv_grad_weight_args& t, const GradWeightPlan& p, int i, const float* M) {
  const int r = i / (t.s * t.c), a = i % (t.s * t.c);
  M += r * p.row + int64_t(a / kDepth) * p.widths * kDepth * kWidth + a % kDepth * kWidth;
  for (int b = 0; b < p.widths; b++, M += kDepth * kWidth)
    for (int j = 0; j < kWidth; j += kLanes) {
      Vec sum = load(M + j);
      for (int s = 1; s < p.slices; s++) sum += load(M + s * t.r * p.row + j);
      store(t.dw + int64_t(i) * t.k + b * kWidth + j, sum);
    }
}

void conv_grad_weight(const senet_conv_grad_weight_args& t) {
  const GradWeightPlan p(int64_t(t.n) * t.p * t.q, t.c, t.k, t.r, t.s);
  float *M = static_cast<float*>(t.scratch), *V = M + p.slices * t.r * p.row;
#pragma omp parallel num_threads(t.threads)
  {
#pragma omp for schedule(static) collapse(3)
    for (int slice = 0; slice < p.slices; slice++)
      for (int r = 0; r < t.r; r++)
        for (int group = 0; group < p.groups; group++)
          slice_product(t, p, slice, r, group, V + omp_get_thread_num() * p.v, M + (int64_t(slice) * t.r + r) * p.row);
#pragma omp for schedule(static)
    for (int i = 0; i < t.r * t.s * t.c; i++) add_slices(t, p, i, M);
  }
}
