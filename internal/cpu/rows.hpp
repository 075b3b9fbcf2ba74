// How maps (n, hw, c) are walked. A pixel of few channels would fill no vector, so g pixels are taken
// together as one row of width g c, a multiple of 16 floats where the map is large enough; per-channel
// operands are repeated g times to match. Work is cut into items, each a chunk of rows of one image; the
// cut depends on the shape alone, never on the number of threads, so results do not either.

constexpr int kMinWidth = 64;      // floats in a row: four AVX-512 registers hide the latency of an FMA
constexpr int kWideRow = 1024;     // a row this wide may end in a part of a vector: that costs little
constexpr int kChunkPixels = 512;  // pixels summed in float32; sums of chunks are added in float64
constexpr int kMinItems = 8;       // so that one image still feeds several threads

constexpr int64_t kNormBlock = 16384;  // gradients that a partial sum of the norm covers

static inline int64_t norm_blocks(int64_t count) { return (count + kNormBlock - 1) / kNormBlock; }

struct Rows {
  int n, hw, c;
  int g, width;     // pixels and floats in a row
  int chunks, per;  // chunks an image, rows a chunk
  int64_t image;    // floats an image
  Rows(int n, int hw, int c) : n(n), hw(hw), c(c), g(1) {
    while (g < hw && (g * c < kMinWidth || (g * c % 16 && g * c < kWideRow))) g++;
    width = g * c;
    image = int64_t(hw) * c;
    const int rows = (hw + g - 1) / g;
    const int want = std::max((hw + kChunkPixels - 1) / kChunkPixels, (kMinItems + n - 1) / n);
    per = (rows + want - 1) / want;
    chunks = (rows + per - 1) / per;
  }
  int items() const { return n * chunks; }
  int padded() const { return (width + 15) / 16 * 16; }
  int64_t floats() const { return n * image; }
  // Whether results go past the caches: where they are large and every row starts on a cache line.
  bool past(int64_t least) const { return floats() >= least && image % 16 == 0 && width % 16 == 0; }
};

// Hands out aligned pieces of the scratch memory; from a null pointer it only counts.
struct Scratch {
  char *begin, *at;
  explicit Scratch(void* p) : begin(static_cast<char*>(p)), at(begin) {}
  float* floats(int64_t count) {
    char* p = at;
    at += (count * 4 + 63) / 64 * 64;
    return reinterpret_cast<float*>(p);
  }
  int64_t bytes() const { return at - begin; }
};

// Working memory of the tail, forward or backward.
struct TailScratch {
  double* sums;         // (4, c) of dbeta, dgamma, and those of a projection
  float* part;          // (items, 3, c) sums
  float *a, *b;         // (n, c) forward's affine; without SE only (c) is used
  float *a2, *b2;       // (c) of the projection
  float *z, *A, *B;     // (n, c)
  float *p, *t, *q;     // (n, c), (n, c), (c)
  float *p2, *t2, *q2;  // (c)
  float* dh;            // (n, r)
  int64_t bytes;
  TailScratch(const Rows& m, int r, void* memory) {
    Scratch s(memory);
    const int64_t nc = int64_t(m.n) * m.c;
    sums = reinterpret_cast<double*>(s.floats(int64_t(m.c) * 8));
    part = s.floats(int64_t(m.items()) * 3 * m.c);
    for (float** v : {&a, &b, &z, &A, &B, &p, &t}) *v = s.floats(nc);
    for (float** v : {&a2, &b2, &q, &p2, &t2, &q2}) *v = s.floats(m.c);
    dh = s.floats(int64_t(m.n) * r);
    bytes = s.bytes();
  }
};
