// How the gradient of a weight is cut up. The cut depends on the shape alone, never on the number of threads, so results do not either.

struct GradWeightPlan {
  int64_t pixels;      // of y, in all images
  int depths, widths;  // blocks of s c and of k
  int groups, high;    // parts of the blocks of s c, and blocks in each: 512 floats of a window at most
  int64_t row;         // floats of the products of a row of the kernel
  int slices;          // of the pixels
  int64_t slice;       // pixels in each
  int chunk;           // pixels that the caches hold at a time. 32 and 48 were no faster, 128 slower at 14x14 pixels
  int64_t v;           // floats of a thread's windows
  // x (n, h, w, c), dy (pixels, k), dw (r, s, c, k)
  GradWeightPlan(int64_t pixels, int c, int k, int r, int s)
      : pixels(pixels), depths(blocks(s * c, kDepth)), widths(blocks(k, kWidth)) {
    high = even(depths, 512 / kDepth, 1);
    groups = blocks(depths, high);
    row = int64_t(depths) * widths * kDepth * kWidth;
    int want = 1;  // enough for many threads, but no more than 4 to 8 MB of products
    while (want * r * groups < 16 && want * r * row < (1 << 20) && want * kDepth < pixels) want *= 2;
    slice = (pixels + want - 1) / want;
    slices = (pixels + slice - 1) / slice;
    chunk = blocks(slice, blocks(slice, kDepth));
    v = int64_t(chunk) * high * kDepth;
  }
  int64_t floats(int r, int threads) const { return slices * r * row + threads * v; }
};
