// dropout: out = x / (1 - rate) where the draw keeps the element, else 0; its own gradient. The draw is splitmix64 over
// seed, step and the element's number in logical order (n, c, hw), as graph.DropoutAttr.Dropped defines it, while memory
// order is (n, hw, c). Reads and writes a map each; out may be x. Caller: dropout.go.
#include "walk.cuh"

typedef unsigned long long u64;

__device__ inline bool dropped(u64 start, u64 element, float rate) {
  u64 z = start + element;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ z >> 27) * 0x94d049bb133111ebull;
  return float((z ^ z >> 31) >> 40) * 0x1p-24f < rate;
}

// out, x (n, hw, c), pixels = n hw; step (1); keep is 1 / (1 - rate).
template <int W, class T>
__device__ inline void drop(T* out, const T* x, const int* step, i64 seed, float rate, float keep, i64 pixels, int hw,
                            int c) {
  const u64 start = u64(seed) + (u64(unsigned(step[0])) << 32);
  each_row<W>(pixels, c, [=](i64 pixel, int channel) {
    const i64 n = pixel / hw, p = pixel - n * hw, at = pixel * c + channel;
    float v[W];
    load(v, x + at);
#pragma unroll
    for (int k = 0; k < W; k++) {
      const u64 element = u64((n * c + channel + k) * hw + p);
      v[k] = dropped(start, element, rate) ? 0.0f : v[k] * keep;
    }
    store(out + at, v);
  });
}

#define SENET_KERNELS(suffix, T, W)                                                                                  \
  extern "C" __global__ void dropout_##suffix(T* out, const T* x, const int* step, i64 seed, float rate, float keep, \
                                              i64 pixels, int hw, int c) {                                           \
    drop<W>(out, x, step, seed, rate, keep, pixels, hw, c);                                                          \
  }
SENET_MAP_KERNELS(SENET_KERNELS)
