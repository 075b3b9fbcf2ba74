// The blocks that convolutions of our own are cut into.

constexpr int kDepth = 64;  // floats of a pixel of x, or pixels, in a block
constexpr int kWidth = 32;  // output channels in a block

static inline int blocks(int count, int block) { return (count + block - 1) / block; }

// The size of chunks of about most of all things, as even as multiples of step allow.
static inline int even(int all, int most, int step) {
  return blocks(blocks(all, blocks(all, std::max(most, step))), step) * step;
}
