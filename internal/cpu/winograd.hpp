// Winograd's F(4x4, 3x3) (Lavin and Gray 2016): transforms of tiles and of weights, and the products between. The points are
// 0, +-sqrt(2), +-1/sqrt(2) and infinity. On random operands with 128 channels the greatest error is 2e-6 of the greatest result,
// against 6e-6 with 0, +-1, +-2 and infinity, at as many operations.

static const float kZeros[SENET_WINOGRAD_CHANNELS] = {};  // a pixel outside the map
constexpr float kRoot = 1.41421356f, kHalfRoot = 0.70710678f;

// B' d: 6 inputs to 6 points.
struct ToPoints {
  static constexpr int kIn = 6, kOut = 6;
  static inline __attribute__((always_inline)) void apply(const Vec d[6], Vec v[6]) {
    const Vec even = fma(broadcast(-0.5f), d[2], d[4]), odd = fma(broadcast(-0.5f), d[1], d[3]) * kRoot;
    const Vec even2 = fma(broadcast(-2.f), d[2], d[4]), odd2 = fma(broadcast(-2.f), d[1], d[3]) * kHalfRoot;
    v[0] = fma(broadcast(-2.5f), d[2], d[0] + d[4]);
    v[1] = even + odd;
    v[2] = even - odd;
    v[3] = even2 + odd2;
    v[4] = even2 - odd2;
    v[5] = fma(broadcast(-2.5f), d[3], d[1] + d[5]);
  }
};

// G w: 3 weights to 6 points.
struct WeightToPoints {
  static constexpr int kIn = 3, kOut = 6;
  static inline __attribute__((always_inline)) void apply(const Vec w[3], Vec u[6]) {
    const Vec even = fma(broadcast(2.f), w[2], w[0]) * (1.f / 6), odd = w[1] * (kRoot / 6);
    const Vec even2 = fma(broadcast(0.5f), w[2], w[0]) * (-2.f / 3), odd2 = w[1] * (kHalfRoot * -2 / 3);
    u[0] = w[0];
    u[1] = even + odd;
    u[2] = even - odd;
    u[3] = even2 + odd2;
    u[4] = even2 - odd2;
    u[5] = w[2];
  }
};

// A' m: 6 points to 4 outputs.
struct FromPoints {
  static constexpr int kIn = 6, kOut = 4;
  static inline __attribute__((always_inline)) void apply(const Vec m[6], Vec y[4]) {
    const Vec sum = m[1] + m[2], difference = (m[1] - m[2]) * kRoot;
    const Vec sum2 = m[3] + m[4], difference2 = (m[3] - m[4]) * kHalfRoot;
    y[0] = m[0] + sum + sum2;
    y[1] = difference + difference2;
    y[2] = fma(broadcast(2.f), sum, sum2 * 0.5f);
    y[3] = fma(broadcast(2.f), difference, fma(broadcast(0.5f), difference2, m[5]));
  }
};

// A dy, the adjoint of FromPoints.
struct GradToPoints {
  static constexpr int kIn = 4, kOut = 6;
  static inline __attribute__((always_inline)) void apply(const Vec y[4], Vec d[6]) {
    const Vec even = fma(broadcast(2.f), y[2], y[0]), odd = fma(broadcast(2.f), y[3], y[1]) * kRoot;
    const Vec even2 = fma(broadcast(0.5f), y[2], y[0]), odd2 = fma(broadcast(0.5f), y[3], y[1]) * kHalfRoot;
    d[0] = y[0];
    d[1] = even + odd;
    d[2] = even - odd;
    d[3] = even2 + odd2;
    d[4] = even2 - odd2;
    d[5] = y[3];
  }
};

// G' m, the adjoint of WeightToPoints.
struct WeightFromPoints {
  static constexpr int kIn = 6, kOut = 3;
  static inline __attribute__((always_inline)) void apply(const Vec m[6], Vec w[3]) {
    const Vec sum = (m[1] + m[2]) * (1.f / 6), sum2 = (m[3] + m[4]) * (-2.f / 3);
    w[0] = m[0] + sum + sum2;
    w[1] = fma(m[1] - m[2], broadcast(kRoot / 6), (m[3] - m[4]) * (kHalfRoot * -2 / 3));
    w[2] = fma(broadcast(2.f), sum, fma(broadcast(0.5f), sum2, m[5]));
  }
};

// Applies T to the columns of the square of vectors that get(row, column) gives, then to the rows of what comes out;
// put(row, column, vector) takes the results.
template <typename T, typename Get, typename Put>
static inline __attribute__((always_inline)) void both_ways(Get get, Put put) {
  Vec half[T::kOut][T::kIn];
#pragma GCC unroll 6
  for (int x = 0; x < T::kIn; x++) {
    Vec column[T::kIn], out[T::kOut];
#pragma GCC unroll 6
    for (int y = 0; y < T::kIn; y++) column[y] = get(y, x);
    T::apply(column, out);
#pragma GCC unroll 6
    for (int y = 0; y < T::kOut; y++) half[y][x] = out[y];
  }
#pragma GCC unroll 6
  for (int y = 0; y < T::kOut; y++) {
    Vec out[T::kOut];
    T::apply(half[y], out);
#pragma GCC unroll 6
    for (int x = 0; x < T::kOut; x++) put(y, x, out[x]);
  }
}

// The square of kSize x kSize pixels of a map (h, w, c) at (top, left): pointers to its pixels, to zeros outside the map.
template <int kSize>
struct Square {
  const float* pixel[kSize][kSize];
  const float* ahead[kSize];  // the pixels to the right, which the next tile needs
  int c;
  Square(const float* map, int h, int w, int c, int top, int left) : c(c) {
    for (int y = 0; y < kSize; y++) {
      const bool inside = top + y >= 0 && top + y < h;
      const float* row = inside ? map + (int64_t(top + y) * w + left) * c : nullptr;
      for (int x = 0; x < kSize; x++) pixel[y][x] = inside && left + x >= 0 && left + x < w ? row + x * c : kZeros;
      ahead[y] = inside ? row + kSize * c : kZeros;
    }
  }
};

// Transforms one tile: channels [0, c) of square to out, which has blocks of kBlock channels, in each a matrix a point. Without
// the prefetches the convolution of 16x56x56x64 took 3.6 ms against 3.1: the processor foresees no walk of this kind.
template <typename T, int kBlock>
static inline void transform_tile(const Square<T::kIn>& square, float* out, int64_t block, int64_t point) {
  each_vector(square.c, [&](int i, auto io) {
    float* to = out + i / kBlock * block + i % kBlock;
    for (const float* row : square.ahead)
      for (int x = 0; x < 4; x++) __builtin_prefetch(row + x * square.c + i);
    both_ways<T>([&](int y, int x) { return io.get(square.pixel[y][x] + i); },
                 [&](int y, int x, Vec v) { store(to + (y * 6 + x) * point, v); });
  });
}
