// Products of the blocks of matrices that convolutions are cut into. Callers: winograd_conv.hpp, winograd_grad_weight.hpp,
// conv_grad_weight.hpp.

// m (kRows, kWidth) = or += a b (depth, kVectors vectors); element (row, j) of a is at row * kRow + j * column, row j of b at j * b_row.
template <int kRows, int kRow, int kVectors>
static inline __attribute__((always_inline)) void product_tile(int depth, const float* a, int64_t column,
                                                               const float* b, int64_t b_row, float* m, bool add) {
  Vec sums[kRows][kVectors];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; r++)
    for (int i = 0; i < kVectors; i++) sums[r][i] = add ? load(m + r * kWidth + i * kLanes) : zero();
  for (int j = 0; j < depth; j++) {
    Vec vb[kVectors];
    for (int i = 0; i < kVectors; i++) vb[i] = load(b + j * b_row + i * kLanes);
#pragma GCC unroll 16
    for (int r = 0; r < kRows; r++) {
      const Vec va = broadcast(a[r * kRow + j * column]);
      for (int i = 0; i < kVectors; i++) sums[r][i] = fma(va, vb[i], sums[r][i]);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; r++)
    for (int i = 0; i < kVectors; i++) store(m + r * kWidth + i * kLanes, sums[r][i]);
}

// m (rows, kWidth) = or += a (rows, depth) b (depth, width), at least the first width columns.
template <int kRow>
static inline __attribute__((always_inline)) void block_product(int rows, int depth, int width, const float* a,
                                                                int64_t column, const float* b, int64_t b_row, float* m,
                                                                bool add) {
  constexpr int kRows = kLanes == 16 ? (kRow == 1 ? 8 : 12) : 6;  // as many sums as registers hold
  int r = 0;
  auto tiles = [&](auto count) {
    for (; r + count <= rows; r += count) {
      int at = 0;
      for (; at + kLanes < width; at += 2 * kLanes)
        product_tile<count, kRow, 2>(depth, a + r * kRow, column, b + at, b_row, m + r * kWidth + at, add);
      if (at < width)
        product_tile<count, kRow, 1>(depth, a + r * kRow, column, b + at, b_row, m + r * kWidth + at, add);
    }
  };
  tiles(std::integral_constant<int, kRows>{});
  tiles(std::integral_constant<int, 4>{});
  tiles(std::integral_constant<int, 2>{});
  tiles(std::integral_constant<int, 1>{});
}
