// bn_se_add_relu: the tail of a residual block, or plain batch norm (+ ReLU).
//   mean, var over (n, hw) of y;  u = a y + b,  a = gamma / sqrt(var + eps),  b = beta - a mean
//   gate = excite(mean over hw of u) (excitation.cu);  out = relu?(gate u + shortcut)
// A raw projection as shortcut has statistics of its own and is normalised in the same pass.
//   sums: reads y (and the raw projection) once: mean and squared deviations of each stretch of pixels, image and channel
//   statistics: joins them: mean, var (C), image mean (N, C)
//   apply: reads y (and the shortcut), writes out
// Bytes of one block of SE-ResNet-50 at batch 256 in bf16, each map read as seldom as the statistics allow, and the least
// time, at the 3.3 TB/s of an H100's memory:
//   stage 1 (256 channels, 56 x 56): a map is 411 MB; sums 1 map, apply 3: 1.64 GB, 498 us
//   stage 4 (2048 channels, 7 x 7):  a map is 51 MB;  sums 1 map, apply 3: 0.21 GB, 62 us
// Callers: bn_se_add_relu.go, batch_norm.go.
#include "channel_sums.cuh"

// part (maps N, splits, 2, C): the mean of a stretch and the sum of squared deviations from it. They are summed about the
// image's first pixel, which is close to the mean, so that the squares do not cancel. Images and stretches are taken from
// the last, whose pixels the convolution wrote just now: they are still in the L2 cache.
template <int W, class T>
__device__ inline void sums(const T* y, const T* projection, float* part, int n, int hw, int c, int per) {
  __shared__ float exchange[2 * W * STRETCH_THREADS / 2];
  const int image = gridDim.z - 1 - blockIdx.z, split = gridDim.y - 1 - blockIdx.y;  // image counts those of both maps
  const T* map = image < n ? y : projection;
  const Stretch s = stretch_of<W>(image < n ? image : image - n, split, hw, c, per);
  float about[W], v[2 * W] = {};
  load(about, map + s.image);
  each_pixel<4>(
      s, [=](i64 at) { return fetch<W>(map + at); },
      [&](const Packed<T, W>& pixel, i64) {
#pragma unroll
        for (int i = 0; i < W; i++) {
          const float d = element(pixel, i) - about[i];
          v[i] += d;
          v[W + i] = fmaf(d, d, v[W + i]);
        }
      });
  sum_rows(v, exchange);
  if (!s.writes) return;
  float mean[W], squares[W];
#pragma unroll
  for (int i = 0; i < W; i++) {
    const float offset = v[i] / float(s.pixels);
    mean[i] = about[i] + offset;
    squares[i] = fmaf(-v[i], offset, v[W + i]);
  }
  float* to = part + (i64(image) * gridDim.y + split) * 2 * c + s.c;
  store(to, mean);
  store(to + c, squares);
}

// Joins the stretches of a channel about the mean of the first, as sums does with pixels (Chan et al. 1983). Map 0 is y,
// map 1 the projection; image_mean (N, C) or null is of y. A block is channels x rows; the rows share the images. It has
// registers to itself, so that the loads of 4 stretches are issued together (channel_sums.cuh says why the bounds).
extern "C" __global__ void __launch_bounds__(512, 1)
    bn_se_add_relu_statistics(const float* part, float* mean, float* var, float* image_mean, float* mean2, float* var2,
                              int n, int splits, int hw, int c, int per) {
  __shared__ float exchange[2 * 512 / 2];
  const int channel = blockIdx.x * blockDim.x + threadIdx.x, map = blockIdx.y, row = 2 * c;
  const bool on = channel < c;
  const float* of_map = part + i64(map) * n * splits * row + (on ? channel : 0);
  const float about = *of_map;
  float v[2] = {};
  for (int image = threadIdx.y; on && image < n; image += blockDim.y) {
    const float* of_image = of_map + i64(image) * splits * row;
    float shift = 0;
#pragma unroll 4
    for (int split = 0; split < splits; split++) {
      const float count = float(min(per, hw - split * per)), d = of_image[split * row] - about;
      shift = fmaf(count, d, shift);
      v[1] += fmaf(count * d, d, of_image[split * row + c]);
    }
    v[0] += shift;
    if (image_mean && map == 0) image_mean[i64(image) * c + channel] = about + shift / float(hw);
  }
  sum_rows(v, exchange);
  if (!on || threadIdx.y > 0) return;
  const double count = double(n) * hw, shift = v[0] / count, variance = v[1] / count - shift * shift;
  (map ? mean2 : mean)[channel] = float(about + shift);
  (map ? var2 : var)[channel] = variance < 0 ? 0.0f : float(variance);  // rounding only; lets NaN through
}

enum Shortcut { NONE, IDENTITY, PROJECTION };

// out = relu?(gate u + shortcut). floor is 0 with ReLU and minus infinity without.
template <int SHORTCUT, int W, class T>
__device__ inline void apply(T* out, const T* y, const T* x, Norm norm, const float* gate, Norm norm2, float floor,
                             int hw, int c, int per) {
  struct Pixel {
    Packed<T, W> y, x;
  };
  const Stretch s = stretch_of<W>(blockIdx.z, blockIdx.y, hw, c, per);
  float a[W], b[W], a2[W];
  affine(a, b, norm, gate ? gate + i64(blockIdx.z) * c : nullptr, s.c);
  if (SHORTCUT == PROJECTION) {
    float b2[W];
    affine(a2, b2, norm2, nullptr, s.c);
#pragma unroll
    for (int i = 0; i < W; i++) b[i] += b2[i];
  }
  each_pixel<4>(
      s,
      [=](i64 at) {
        Pixel p;
        p.y = fetch<W>(y + at);
        if (SHORTCUT != NONE) p.x = fetch<W>(x + at);
        return p;
      },
      [&](const Pixel& p, i64 at) {
        float v[W];
#pragma unroll
        for (int i = 0; i < W; i++) {
          v[i] = fmaf(a[i], element(p.y, i), b[i]);
          if (SHORTCUT == IDENTITY) v[i] += element(p.x, i);
          if (SHORTCUT == PROJECTION) v[i] = fmaf(a2[i], element(p.x, i), v[i]);
          v[i] = v[i] < floor ? floor : v[i];  // lets NaN through
        }
        store(out + at, v);
      });
}

#define SENET_APPLY(kind, SHORTCUT, suffix, T, W)                                                                     \
  extern "C" __global__ void __launch_bounds__(STRETCH_THREADS, 4) bn_se_add_relu_##kind##_##suffix(                  \
      T* out, const T* y, const float* gamma, const float* beta, const float* mean, const float* var, float eps,      \
      const float* gate, const T* x, const float* gamma2, const float* beta2, const float* mean2, const float* var2,  \
      float eps2, float floor, int hw, int c, int per) {                                                              \
    apply<SHORTCUT, W>(out, y, x, {gamma, beta, mean, var, eps}, gate, {gamma2, beta2, mean2, var2, eps2}, floor, hw, \
                       c, per);                                                                                       \
  }

#define SENET_KERNELS(suffix, T, W)                                                                               \
  extern "C" __global__ void __launch_bounds__(STRETCH_THREADS, 6)                                                \
      bn_se_add_relu_sums_##suffix(const T* y, const T* projection, float* part, int n, int hw, int c, int per) { \
    sums<W>(y, projection, part, n, hw, c, per);                                                                  \
  }                                                                                                               \
  SENET_APPLY(none, NONE, suffix, T, W)                                                                           \
  SENET_APPLY(identity, IDENTITY, suffix, T, W)                                                                   \
  SENET_APPLY(projection, PROJECTION, suffix, T, W)
SENET_MAP_KERNELS(SENET_KERNELS)
