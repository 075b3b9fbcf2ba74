// How a 3x3 convolution of stride 1 and padding 1 is cut up for Winograd's F(4x4, 3x3): outputs in tiles of 4x4, each from 6x6
// inputs; 36 points, at each of which the tiles' channels are multiplied with the weights'. The cut depends on the
// shape alone, never on the number of threads, so results do not either.

constexpr int kPoints = 36;
constexpr int kSkew = 16;  // floats after a point's matrix, so that not all fall into the same sets of a cache

// Floats of transformed weights, and of tiles, that threads that work together hold at a time: 10 MB each, for 256 x 256 weights.
constexpr int64_t kHeld = int64_t(kPoints) * 256 * 264;

struct Tiles {
  int high, wide, image, all;  // rows and columns of tiles, tiles in an image and in all images
  Tiles(int n, int h, int w) : high((h + 3) / 4), wide((w + 3) / 4), image(high * wide), all(n * image) {}
};

// A matrix a point: rows of width floats.
static inline int64_t matrix(int rows, int width) { return int64_t(rows) * width + kSkew; }

// The forward convolution. With 128 channels of 16x28x28 a chunk for each thread took 2.8 ms, a shared one 4.0; more
// than 128 leave too few tiles in L2. Alone, 24 tiles of 64 channels and 12 of 128 were best of 12 to 48.
struct WinogradPlan {
  Tiles tiles;
  int depths, widths;  // blocks of c and of k
  bool shared;         // all threads work on one chunk of tiles; else each on its own, which its L2 cache holds
  int chunk, range;    // tiles, and blocks of k, that are held at a time
  int64_t u, v, m;     // floats of a block of weights at all points, of a chunk's inputs and of its products
  // x (n, h, w, c), y (n, h, w, k)
  WinogradPlan(int n, int h, int w, int c, int k)
      : tiles(n, h, w), depths(blocks(c, kDepth)), widths(blocks(k, kWidth)) {
    shared = depths > 2;
    u = kPoints * matrix(kDepth, kWidth);
    range = shared ? std::max(1, std::min(widths, int(kHeld / (depths * u)))) : widths;
    chunk = shared ? even(tiles.all, int(kHeld / (kPoints * (depths * kDepth + range * kWidth))), 12) : 24 / depths;
    chunk = std::min(tiles.all, chunk);
    v = depths * kPoints * matrix(chunk, kDepth);
    m = (shared ? range : 1) * kPoints * matrix(chunk, kWidth);
  }
  int64_t weights() const { return u * depths * range; }
  int64_t floats(int threads) const { return weights() + (v + m) * (shared ? 1 : threads); }
};

// The gradient of the weight. Threads that share chunks read what others have just written, which is slow where they have no cache in
// common. Without and with one, 64 channels of 16x56x56 took 5.4 and 3.4 ms so, and 3.9 and 3.6 with chunks of their own; 128 of 16x28x28 4.2
// and 3.2, and 4.1 without. Chunks of 16, 24, 32, 48 and 64 tiles of their own took 3.9, 3.8, 3.9, 4.1 and 4.2 ms with 64 channels and 1.26,
// 1.20, 1.14, 1.12 and 1.08 with 16 of 128x28x28; shared ones of 128 tiles 4.1, and of 512 6.0.
struct WinogradGradPlan {
  Tiles tiles;
  int depths, widths;
  bool shared;           // all threads work on one chunk of tiles; else each on slices of its own, which are added up
  int slices, slice;     // and tiles in each
  int chunk, range;      // tiles, and blocks of c, that are held at a time
  int v_row, d_row;      // floats of a tile in a block of x and of dy, at a point
  int64_t v, d, m, sum;  // floats of a chunk of x and of dy, of a block of products (c, k), and of those of a slice
  // x (n, h, w, c), dy (n, h, w, k), dw (3, 3, c, k)
  WinogradGradPlan(int n, int h, int w, int c, int k)
      : tiles(n, h, w), depths(blocks(c, kDepth)), widths(blocks(k, kWidth)) {
    shared = std::max(c, k) > 64 || tiles.all <= 4 * kDepth;
    m = kPoints * matrix(kDepth, kWidth);
    slices = shared ? 1 : blocks(tiles.all, blocks(tiles.all, 8));
    slice = blocks(tiles.all, slices);
    const int held = kHeld / (kPoints * (depths * kDepth + widths * kWidth)) / kDepth * kDepth;
    chunk = blocks(slice, blocks(slice, shared ? std::clamp(held, kDepth, 2 * kDepth) : 32));
    range = chunk < tiles.all ? depths : std::max(1, std::min(depths, int(kHeld / (widths * m))));
    v_row = depths > 1 ? kDepth : 16 * blocks(c, 16), d_row = widths > 1 ? kWidth : 16 * blocks(k, 16);
    v = depths * kPoints * matrix(chunk, v_row);
    d = widths * kPoints * matrix(chunk, d_row);
    sum = m * range * widths;
  }
  int64_t floats(int threads) const { return (v + d) * (shared ? 1 : threads) + sum * slices; }
};
