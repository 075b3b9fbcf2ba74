// normalize: out = image * scale + shift per channel, with scale = 1 / (255 std) and shift = -mean / std. Image and out
// are (N, H, W, C), bytes and the type of maps; a thread's W neighbours cross pixels, since C is 3. Reads a byte and
// writes an element each. Caller: normalize.go.
#include "walk.cuh"

struct Affine {
  float scale, shift;
};

template <int W, class T>
__device__ inline void affine(T* out, const u8* image, const Affine* channels, i64 count, int c) {
  const i64 first = (i64(blockIdx.x) * blockDim.x + threadIdx.x) * W, step = i64(gridDim.x) * blockDim.x * W;
  const int turn = int(step % c);
  int channel = int(first % c);  // of element i
  for (i64 i = first; i < count; i += step) {
    const Vec<u8, W> pixels = *reinterpret_cast<const Vec<u8, W>*>(image + i);
    float v[W];
    int at = channel;
#pragma unroll
    for (int k = 0; k < W; k++) {
      v[k] = float(pixels.at[k]) * channels[at].scale + channels[at].shift;
      if (++at == c) at = 0;
    }
    store(out + i, v);
    channel += turn;
    if (channel >= c) channel -= c;
  }
}

#define SENET_KERNELS(suffix, T, W)                                                                                  \
  extern "C" __global__ void normalize_##suffix(T* out, const u8* image, const Affine* channels, i64 count, int c) { \
    affine<W>(out, image, channels, count, c);                                                                       \
  }
SENET_MAP_KERNELS(SENET_KERNELS)
