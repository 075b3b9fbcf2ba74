// Products of the blocks of matrices that convolutions are cut into. Callers: winograd_conv.hpp, winograd_grad_weight.hpp,
// conv_grad_weight.hpp.

// m (rows, kWidth) = or += a b (depth, kWidth); element (row, j) of a is at row * kRow + j * column, row j of b at j * b_row.
template <int kRows, int kRow>
static inline __attribute__((always_inline)) void product_tile(int depth, const float* a, int64_t column,
                                                               const float* b, int64_t b_row, float* m, bool add) {
  for (int at = 0; at < kWidth; at += 2 * kLanes) {
    Vec sums[kRows][2];
#pragma GCC unroll 16
    for (int r = 0; r < kRows; r++)
      for (int i = 0; i < 2; i++) sums[r][i] = add ? load(m + r * kWidth + at + i * kLanes) : zero();
    for (int j = 0; j < depth; j++) {
      const Vec b0 = load(b + j * b_row + at), b1 = load(b + j * b_row + at + kLanes);
#pragma GCC unroll 16
      for (int r = 0; r < kRows; r++) {
        const Vec va = broadcast(a[r * kRow + j * column]);
        sums[r][0] = fma(va, b0, sums[r][0]);
        sums[r][1] = fma(va, b1, sums[r][1]);
      }
    }
#pragma GCC unroll 16
    for (int r = 0; r < kRows; r++)
      for (int i = 0; i < 2; i++) store(m + r * kWidth + at + i * kLanes, sums[r][i]);
  }
}

template <int kRow>
static inline __attribute__((always_inline)) void block_product(int rows, int depth, const float* a, int64_t column,
                                                                const float* b, int64_t b_row, float* m, bool add) {
  constexpr int kRows = kLanes == 16 ? (kRow == 1 ? 8 : 12) : 6;  // as many sums as registers hold
  int r = 0;
  for (; r + kRows <= rows; r += kRows)
    product_tile<kRows, kRow>(depth, a + r * kRow, column, b, b_row, m + r * kWidth, add);
  auto rest = [&](auto count) {
    for (; r + count <= rows; r += count)
      product_tile<count, kRow>(depth, a + r * kRow, column, b, b_row, m + r * kWidth, add);
  };
  rest(std::integral_constant<int, 4>{});
  rest(std::integral_constant<int, 2>{});
  rest(std::integral_constant<int, 1>{});
}
