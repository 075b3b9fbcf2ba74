// winograd_grad_weight: dw (3, 3, c, k) of a 3x3 convolution of stride 1 and padding 1 from x (n, h, w, c) and dy (n, h, w, k). The
// products of a chunk of tiles are added to those of the chunks before it, always in the same order. Caller: conv.go.

// x and dy of a tile at all points, to V and D.
static void winograd_grad_inputs(const senet_winograd_grad_weight_args& t, const WinogradGradPlan& p, int tile,
                                 float* V, float* D) {
  const int64_t v = matrix(p.chunk, p.v_row), d = matrix(p.chunk, p.d_row),
                pixels = tile / p.tiles.image * (int64_t(t.h) * t.w);
  const int top = tile % p.tiles.image / p.tiles.wide * 4, left = tile % p.tiles.wide * 4;
  const Square<6> x(t.x + pixels * t.c, t.h, t.w, t.c, top - 1, left - 1);
  const Square<4> dy(t.dy + pixels * t.k, t.h, t.w, t.k, top, left);
  transform_tile<ToPoints, kDepth>(x, V, kPoints * v, v);
  transform_tile<GradToPoints, kWidth>(dy, D, kPoints * d, d);
}

// M (c, k) += a block of V (tiles, c)' D (tiles, k) at a point, over the tiles of a chunk.
static void winograd_grad_products(const senet_winograd_grad_weight_args& t, const WinogradGradPlan& p, int count,
                                   int point, int a, int b, const float* V, const float* D, float* M, bool add) {
  const float *v = V + (a * kPoints + point) * matrix(p.chunk, p.v_row),
              *d = D + (b * kPoints + point) * matrix(p.chunk, p.d_row);
  for (int j = 0; j < count; j += kDepth)
    block_product<1>(std::min(kDepth, t.c - a * kDepth), std::min(kDepth, count - j),
                     std::min(kWidth, t.k - b * kWidth), v + j * p.v_row, p.v_row, d + j * p.d_row, p.d_row,
                     M + point * matrix(kDepth, kWidth), add || j > 0);
}

// A row of dw: input channel c, output channels of block b, at all taps, from the products of all slices.
static void winograd_grad_outputs(const senet_winograd_grad_weight_args& t, const WinogradGradPlan& p, int c, int b,
                                  const float* M) {
  float* to = t.dw + int64_t(c) * t.k + b * kWidth;
  each_vector(std::min(kWidth, t.k - b * kWidth), [&](int i, auto io) {
    both_ways<WeightFromPoints>(
        [&](int y, int x) {
          const float* at = M + (y * 6 + x) * matrix(kDepth, kWidth) + i;
          Vec sum = load(at);
          for (int s = 1; s < p.slices; s++) sum += load(at + s * p.sum);
          return sum;
        },
        [&](int y, int x, Vec w) { io.put(to + (y * 3 + x) * int64_t(t.c) * t.k + i, w); });
  });
}

// All threads share a chunk.
static void winograd_grad_shared(const senet_winograd_grad_weight_args& t, const WinogradGradPlan& p) {
  float *V = static_cast<float*>(t.scratch), *D = V + p.v, *M = D + p.d;
#pragma omp parallel
  for (int chunk = 0; chunk < p.tiles.all; chunk += p.chunk) {
    const int count = std::min(p.chunk, p.tiles.all - chunk);
#pragma omp for schedule(static)
    for (int i = 0; i < count; i++) winograd_grad_inputs(t, p, chunk + i, V + i * p.v_row, D + i * p.d_row);
    for (int a = 0; a < p.depths; a += p.range) {
      const int range = std::min(p.range, p.depths - a);
#pragma omp for schedule(static) collapse(3)
      for (int point = 0; point < kPoints; point++)
        for (int i = 0; i < range; i++)
          for (int b = 0; b < p.widths; b++)
            winograd_grad_products(t, p, count, point, a + i, b, V, D, M + (i * p.widths + b) * p.m, chunk > 0);
      if (chunk + count < p.tiles.all) continue;
#pragma omp for schedule(static) collapse(2)
      for (int c = a * kDepth; c < std::min(t.c, (a + range) * kDepth); c++)
        for (int b = 0; b < p.widths; b++)
          winograd_grad_outputs(t, p, c, b, M + ((c / kDepth - a) * p.widths + b) * p.m + c % kDepth * kWidth);
    }
  }
}

// Each thread takes slices of its own: what one thread writes and another reads soon after is slow where they share no cache.
static void winograd_grad_alone(const senet_winograd_grad_weight_args& t, const WinogradGradPlan& p) {
  float* M = static_cast<float*>(t.scratch);
#pragma omp parallel num_threads(t.threads)
  {
    float *V = M + p.slices * p.sum + omp_get_thread_num() * (p.v + p.d), *D = V + p.v;
#pragma omp for schedule(static)
    for (int slice = 0; slice < p.slices; slice++) {
      const int begin = slice * p.slice, end = std::min(p.tiles.all, begin + p.slice);
      for (int chunk = begin; chunk < end; chunk += p.chunk) {
        const int count = std::min(p.chunk, end - chunk);
        for (int i = 0; i < count; i++) winograd_grad_inputs(t, p, chunk + i, V + i * p.v_row, D + i * p.d_row);
        for (int point = 0; point < kPoints; point++)
          for (int a = 0; a < p.depths; a++)
            for (int b = 0; b < p.widths; b++)
              winograd_grad_products(t, p, count, point, a, b, V, D, M + slice * p.sum + (a * p.widths + b) * p.m,
                                     chunk > begin);
      }
    }
#pragma omp for schedule(static) collapse(2)
    for (int c = 0; c < t.c; c++)
      for (int b = 0; b < p.widths; b++)
        winograd_grad_outputs(t, p, c, b, M + (c / kDepth * p.widths + b) * p.m + c % kDepth * kWidth);
  }
}

void winograd_grad_weight(const senet_winograd_grad_weight_args& t) {
  const WinogradGradPlan p(t.n, t.h, t.w, t.c, t.k);
  p.shared ? winograd_grad_shared(t, p) : winograd_grad_alone(t, p);
}
