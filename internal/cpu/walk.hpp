// Loops over the items of a map (rows.hpp), and what joins their sums.

constexpr int kChannelBlock = 32;  // channels that one thread finishes at a time

// Calls f(at, i, io) for each vector of an item: it starts at float `at` of the map and column i of its row. Rows are taken one
// by one, in the order they lie. To share the per-channel operands among 4 rows cost much where maps come from memory
// (tail of 16x56x56x256: 8.1 against 5.2 ms, 9 shuffled pairs, each slower) and was within the noise in the caches.
template <typename F>
static inline __attribute__((always_inline)) void each(const Rows& m, int item, F f) {
  int64_t at = int64_t(item % m.chunks) * m.per * m.width;
  const int64_t last = std::min(at + int64_t(m.per) * m.width, m.image), base = int64_t(item / m.chunks) * m.image;
  for (; at < last; at += m.width)
    each_vector(int(std::min<int64_t>(m.width, last - at)), [&](int i, auto io) { f(base + at + i, i, io); });
}

// Fetches what a walk will read 512 floats after p. Processors do that by themselves, but not enough for three maps at once and
// vectors of whole cache lines: with it the tail's gradient takes 0.73 to 0.92 of the time (10 shuffled rounds of 5 shapes, 2
// Zen 5 cores, AVX-512). With AVX2 it makes no difference, nor for the forward's one or two maps.
static inline void read_ahead(const float* p) { __builtin_prefetch(p + 512); }

// v (c) as a row of the map: itself, or repeated in buffer (width).
static inline const float* spread(const Rows& m, const float* v, float* buffer) {
  if (m.g == 1) return v;
  for (int i = 0; i < m.g; i++) std::memcpy(buffer + int64_t(i) * m.c, v, sizeof(float) * m.c);
  return buffer;
}

// Adds up a row of sums (width) into one per channel (c).
static inline void fold(const Rows& m, const float* row, float* sums) {
  if (m.g == 1) {
    std::memcpy(sums, row, sizeof(float) * m.c);
    return;
  }
  for (int ch = 0; ch < m.c; ch++) {
    double s = 0;
    for (int i = 0; i < m.g; i++) s += row[int64_t(i) * m.c + ch];
    sums[ch] = float(s);
  }
}

// Adds up the chunks of image i: part (items, kinds, c) to sums of channels [from, to).
static inline void add_chunks(const Rows& m, const float* part, int kinds, int kind, int i, int from, int to,
                              double* sums) {
  for (int k = from; k < to; k++) sums[k - from] = 0;
  for (int j = 0; j < m.chunks; j++) {
    const float* p = part + ((int64_t(i) * m.chunks + j) * kinds + kind) * m.c;
#pragma omp simd
    for (int k = from; k < to; k++) sums[k - from] += p[k];
  }
}
