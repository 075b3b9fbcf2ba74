// winograd_conv: y (n, h, w, k) = relu?(gate (n, k) (conv(x (n, h, w, c), weight (3, 3, c, k)) + bias (k)) + residual), stride 1,
// padding 1. With flip the weight is (3, 3, k, c) and turned by half: the gradient of the input. Caller: conv.go.

// One block of transformed weights: U (36, kDepth, kWidth) of input channels from c0 and outputs from k0 on.
static void winograd_weights(const senet_winograd_conv_args& t, int c0, int k0, float* U) {
  const int64_t tap = int64_t(t.c) * t.k;
  const int depth = std::min(kDepth, t.c - c0), width = std::min(kWidth, t.k - k0);
  const float* w = t.weight + int64_t(c0) * t.k + k0;
  int64_t row = t.k, step = tap;
  float turned[9 * kDepth * kWidth];  // (3, 3, kDepth, kWidth)
  if (t.flip) {
    for (int s = 0; s < 9; s++)
      for (int k = 0; k < width; k++) {
        const float* from = t.weight + (8 - s) * tap + int64_t(k0 + k) * t.c + c0;
        for (int c = 0; c < depth; c++) turned[(s * kDepth + c) * kWidth + k] = from[c];
      }
    w = turned, row = kWidth, step = kDepth * kWidth;
  }
  for (int c = 0; c < depth; c++)
    each_vector(width, [&](int i, auto io) {
      both_ways<WeightToPoints>(
          [&](int y, int x) { return io.get(w + (y * 3 + x) * step + c * row + i); },
          [&](int y, int x, Vec v) { store(U + (y * 6 + x) * matrix(kDepth, kWidth) + c * kWidth + i, v); });
    });
}

// The 4x4 outputs of tile, channels of the block at k0, from the products of its 36 points.
static void winograd_outputs(const senet_winograd_conv_args& t, const Tiles& tiles, int tile, int k0, const float* M,
                             int64_t point) {
  const int image = tile / tiles.image, top = tile % tiles.image / tiles.wide * 4, left = tile % tiles.wide * 4;
  const int high = std::min(4, t.h - top), wide = std::min(4, t.w - left);
  const int64_t at = ((int64_t(image) * t.h + top) * t.w + left) * t.k + k0;
  each_vector(std::min(kWidth, t.k - k0), [&](int i, auto io) {
    const Vec bias = t.bias ? io.get(t.bias + k0 + i) : zero();
    const Vec gate = t.gate ? io.get(t.gate + int64_t(image) * t.k + k0 + i) : broadcast(1);
    Vec out[4][4];
    both_ways<FromPoints>([&](int y, int x) { return load(M + (y * 6 + x) * point + i); },
                          [&](int y, int x, Vec v) { out[y][x] = v; });
    for (int y = 0; y < high; y++)
      for (int x = 0; x < wide; x++) {
        const int64_t to = at + (int64_t(y) * t.w + x) * t.k + i;
        Vec v = out[y][x] + bias;
        if (t.gate) v = v * gate;
        if (t.residual) v += io.get(t.residual + to);
        io.put(t.y + to, t.relu ? relu(v) : v);
      }
  });
}

// x of a tile at all points, to V.
static void winograd_inputs(const senet_winograd_conv_args& t, const WinogradPlan& p, int tile, float* V) {
  const int image = tile / p.tiles.image, top = tile % p.tiles.image / p.tiles.wide * 4, left = tile % p.tiles.wide * 4;
  const Square<6> square(t.x + int64_t(image) * t.h * t.w * t.c, t.h, t.w, t.c, top - 1, left - 1);
  transform_tile<ToPoints, kDepth>(square, V, kPoints * matrix(p.chunk, kDepth), matrix(p.chunk, kDepth));
}

// The products of a point's inputs of count tiles with block b of its weights.
static void winograd_products(const senet_winograd_conv_args& t, const WinogradPlan& p, int count, int point, int b,
                              const float* U, const float* V, float* M) {
  for (int d = 0; d < p.depths; d++)
    block_product<kDepth>(count, std::min(kDepth, t.c - d * kDepth), std::min(kWidth, t.k - b * kWidth),
                          V + (d * kPoints + point) * matrix(p.chunk, kDepth), 1,
                          U + d * p.u + point * matrix(kDepth, kWidth), kWidth, M + point * matrix(p.chunk, kWidth),
                          d > 0);
}

// All threads share a chunk.
static void winograd_shared(const senet_winograd_conv_args& t, const WinogradPlan& p) {
  float *U = static_cast<float*>(t.scratch), *V = U + p.weights(), *M = V + p.v;
  const int64_t block = kPoints * matrix(p.chunk, kWidth);  // floats of a block of products
#pragma omp parallel
  for (int chunk = 0; chunk < p.tiles.all; chunk += p.chunk) {
    const int count = std::min(p.chunk, p.tiles.all - chunk);
#pragma omp for schedule(static) nowait
    for (int i = 0; i < count; i++) winograd_inputs(t, p, chunk + i, V + i * kDepth);
    for (int b = 0; b < p.widths; b += p.range) {
      const int range = std::min(p.range, p.widths - b);
      if (chunk == 0 || p.range < p.widths) {
#pragma omp for schedule(static) collapse(2) nowait
        for (int i = 0; i < range; i++)
          for (int d = 0; d < p.depths; d++)
            winograd_weights(t, d * kDepth, (b + i) * kWidth, U + (i * p.depths + d) * p.u);
      }
#pragma omp barrier
#pragma omp for schedule(static) collapse(2)
      for (int point = 0; point < kPoints; point++)
        for (int i = 0; i < range; i++)
          winograd_products(t, p, count, point, b + i, U + i * p.depths * p.u, V, M + i * block);
#pragma omp for schedule(static) collapse(2)
      for (int j = 0; j < count; j++)
        for (int i = 0; i < range; i++)
          winograd_outputs(t, p.tiles, chunk + j, (b + i) * kWidth, M + i * block + j * kWidth,
                           matrix(p.chunk, kWidth));
    }
  }
}

// Each thread takes chunks of its own, from x to y.
static void winograd_alone(const senet_winograd_conv_args& t, const WinogradPlan& p) {
  float* U = static_cast<float*>(t.scratch);
#pragma omp parallel num_threads(t.threads)
  {
    float *V = U + p.weights() + omp_get_thread_num() * (p.v + p.m), *M = V + p.v;
#pragma omp for schedule(static) collapse(2)
    for (int b = 0; b < p.widths; b++)
      for (int d = 0; d < p.depths; d++) winograd_weights(t, d * kDepth, b * kWidth, U + (b * p.depths + d) * p.u);
#pragma omp for schedule(static)
    for (int chunk = 0; chunk < p.tiles.all; chunk += p.chunk) {
      const int count = std::min(p.chunk, p.tiles.all - chunk);
      for (int i = 0; i < count; i++) winograd_inputs(t, p, chunk + i, V + i * kDepth);
      for (int b = 0; b < p.widths; b++) {
        for (int point = 0; point < kPoints; point++)
          winograd_products(t, p, count, point, b, U + b * p.depths * p.u, V, M);
        for (int i = 0; i < count; i++)
          winograd_outputs(t, p.tiles, chunk + i, b * kWidth, M + i * kWidth, matrix(p.chunk, kWidth));
      }
    }
  }
}

void winograd_conv(const senet_winograd_conv_args& t) {
  const WinogradPlan p(t.n, t.h, t.w, t.c, t.k);
  p.shared ? winograd_shared(t, p) : winograd_alone(t, p);
}
