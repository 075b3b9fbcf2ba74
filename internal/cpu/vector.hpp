// Loops over vectors of kLanes floats. A kernel's body is written once, for Full vectors and for the
// Part at the end of a row: its loads beyond the end give 0, its stores there do nothing.

typedef int32_t Ints __attribute__((vector_size(4 * kLanes)));
typedef uint8_t Bytes __attribute__((vector_size(kLanes)));

struct Full {
  static int count() { return kLanes; }
  static Vec get(const float* p) { return load(p); }
  // past: around the caches, for an aligned p that is not read again soon.
  static void put(float* p, Vec v, bool past = false) { past ? stream(p, v) : store(p, v); }
};

struct Part {
  int length;
  int count() const { return length; }
  Vec get(const float* p) const { return load_first(p, length); }
  void put(float* p, Vec v, bool = false) const { store_first(p, v, length); }
};

// Calls f(i, io) for each vector of a row of length floats.
template <typename F>
static inline __attribute__((always_inline)) void each_vector(int length, F f) {
  int i = 0;
  for (; i + kLanes <= length; i += kLanes) f(i, Full{});
  if (i < length) f(i, Part{length - i});
}

// Calls f(i, io) for each vector of count floats, on all threads of a new team.
template <typename F>
static inline void each_flat(int64_t count, F f) {
  constexpr int kBlock = 4096;  // floats: a page of each operand or more
#pragma omp parallel for schedule(static)
  for (int64_t b = 0; b < (count + kBlock - 1) / kBlock; b++) {
    const int64_t base = b * kBlock;
    each_vector(int(std::min<int64_t>(kBlock, count - base)), [&](int i, auto io) { f(base + i, io); });
  }
}

// A result of this many floats or more (16 MiB) is stored past the caches: it would hardly stay in them until it is
// read, and a plain store reads each line first. Medians of 6 shuffled pairs on 2 Zen 4 cores with 32 MiB of L3, time
// against plain stores: add 0.79, tail's gradient 0.86 at 51 MB, 0.73 and 0.83 at 26 MB. At 13 MB it gave 0.8 as
// well, but what the next reader then loses was not measured; at 6 MB the difference is within the noise.
constexpr int64_t kPastCaches = 4 << 20;

// The sum of all lanes, in halves.
static inline __attribute__((always_inline)) float sum(Vec v) {
  Ints lane;
  for (int i = 0; i < kLanes; i++) lane[i] = i;
  for (int half = kLanes / 2; half > 0; half /= 2) v += __builtin_shuffle(v, lane ^ half);
  return v[0];
}

static inline Vec zero() { return broadcast(0); }
static inline Vec relu(Vec v) { return v < 0 ? zero() : v; }  // lets NaN through

// exp(x), relative error 2e-7 in [-87, 88]; beyond, x is taken as the nearest end. NaN gives NaN.
// 2^n times a polynomial in x - n log 2; the coefficients are Cephes' expf (S. Moshier).
static inline Vec exp(Vec x) {
  x = x > 88.f ? broadcast(88.f) : x;
  x = x < -87.f ? broadcast(-87.f) : x;
  const Vec magic = broadcast(12582912.f);  // 1.5 * 2^23: adding it rounds to an integer in the low bits
  const Vec shifted = fma(x, broadcast(1.44269504f), magic), n = shifted - magic;
  Vec r = fma(n, broadcast(-0.693359375f), x);
  r = fma(n, broadcast(2.12194440e-4f), r);
  Vec p = broadcast(1.9875691500e-4f);
  for (float k : {1.3981999507e-3f, 8.3334519073e-3f, 4.1665795894e-2f, 1.6666665459e-1f, 5.0000001201e-1f})
    p = fma(p, r, broadcast(k));
  p = fma(p, r * r, r) + 1.f;
  return p * (Vec)(((Ints)shifted << 23) + (127 << 23));
}

static inline Vec sigmoid(Vec x) { return 1.f / (1.f + exp(-x)); }
