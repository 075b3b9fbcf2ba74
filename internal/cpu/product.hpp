// Small matrix products of the SE block and the early squeeze, (n, c) by (c, r): each weight is read once for
// several images. Row-major; called by every thread of a team, with a barrier at the end. 2 m k j flops.

// out (m, k) = A (m, j) B (k, j)' * scale; ld... are row strides in floats.
static void product_nt(int m, int k, int j, const float* A, int64_t lda, const float* B, int64_t ldb, float scale,
                       float* out, int64_t ldo) {
  constexpr int kTile = 4;
#pragma omp for schedule(static)
  for (int kt = 0; kt < k; kt += kTile) {
    for (int mt = 0; mt < m; mt += kTile) {
      // Rows beyond the end repeat the last one; their results are dropped.
      const float *a[kTile], *b[kTile];
      for (int i = 0; i < kTile; i++) {
        a[i] = A + std::min(mt + i, m - 1) * lda;
        b[i] = B + std::min(kt + i, k - 1) * ldb;
      }
      Vec acc[kTile][kTile];
      for (auto& row : acc)
        for (Vec& v : row) v = zero();
      each_vector(j, [&](int at, auto io) {
        Vec vb[kTile];
        for (int i = 0; i < kTile; i++) vb[i] = io.get(b[i] + at);
        for (int x = 0; x < kTile; x++) {
          const Vec va = io.get(a[x] + at);
          for (int y = 0; y < kTile; y++) acc[x][y] = fma(va, vb[y], acc[x][y]);
        }
      });
      for (int x = 0; x < kTile && mt + x < m; x++)
        for (int y = 0; y < kTile && kt + y < k; y++) out[(mt + x) * ldo + kt + y] = sum(acc[x][y]) * scale;
    }
  }
}

// out (m, j) = sum over k of A[i * row + x * col] B (k, j): A (m, k) may lie transposed.
static void product_nn(int m, int k, int j, const float* A, int64_t row, int64_t col, const float* B, float* out,
                       int64_t ldo) {
  constexpr int kTile = 4, kWide = 2 * kLanes;
#pragma omp for schedule(static) collapse(2)
  for (int mt = 0; mt < m; mt += kTile) {
    for (int jt = 0; jt < j; jt += kWide) {
      const float* a[kTile];
      for (int i = 0; i < kTile; i++) a[i] = A + std::min(mt + i, m - 1) * row;
      auto tile = [&](auto left, auto right) {
        Vec acc[kTile][2];
        for (auto& v : acc) v[0] = v[1] = zero();
        for (int x = 0; x < k; x++) {
          const float* b = B + int64_t(x) * j + jt;
          const Vec b0 = left.get(b), b1 = right.get(b + kLanes);
          for (int i = 0; i < kTile; i++) {
            const Vec va = broadcast(a[i][x * col]);
            acc[i][0] = fma(va, b0, acc[i][0]);
            acc[i][1] = fma(va, b1, acc[i][1]);
          }
        }
        for (int i = 0; i < kTile && mt + i < m; i++) {
          float* o = out + (mt + i) * ldo + jt;
          left.put(o, acc[i][0]);
          right.put(o + kLanes, acc[i][1]);
        }
      };
      const int left = j - jt;
      if (left >= kWide) tile(Full{}, Full{});
      else if (left > kLanes) tile(Full{}, Part{left - kLanes});
      else tile(Part{left}, Part{0});
    }
  }
}
