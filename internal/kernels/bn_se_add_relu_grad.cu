// bn_se_add_relu_grad: the gradient of the block's tail. With g = (dout + dout2) where out > 0, r = 1/sqrt(var + eps),
// M = N HW:
//   A[n,c] = sum g, B[n,c] = sum g (y - mean) over the pixels of an image -> dz[n,c] (excitation_grad.cu)
//   dbeta = sum_n (gate A + dz);  dgamma = sum_n (gate r B + dz r (m - mean)), m the image mean of y
//   dy = p g + q y + t,  p[n,c] = gamma r gate,  q[c] = -gamma r^2 dgamma / M,  t[n,c] = gamma r dz / HW + u[c],
//   u[c] = gamma r (mean r dgamma - dbeta) / M
// A raw projection x as shortcut: the same with sums of g (x - its mean), gate 1 and dz 0.
//   sums: reads dout, dout2, out, y, x as far as there; an identity shortcut's gradient is g, which it writes
//   channels: joins the sums of a channel: gradients of gamma and beta, and gamma r, q, u
//   apply: reads g, which is the shortcut's gradient or made anew, and y, x; writes dy and a projection's dx
// Without a shortcut the ReLU's mask is taken from y, which saves reading out. Bytes of an identity block of
// SE-ResNet-50 at batch 256 in bf16 (dout in two addends), and the least time, at 3.3 TB/s: sums 5 maps, apply 3:
//   stage 1 (256 channels, 56 x 56): 3.29 GB, 997 us;  stage 4 (2048 channels, 7 x 7): 0.41 GB, 125 us
// In place: dy may lie over y or dout, dx over dout, dout2 or x; a thread reads an element before it writes it.
// Callers: bn_se_add_relu_grad.go, batch_norm.go.
#include "channel_sums.cuh"

// Where the ReLU's sign is read: from out, where that is null there is no ReLU; or from y. PROJECTION is OUT with x.
enum Kind { OUT, Y, PROJECTION };

template <class T>
struct Maps {
  const T *dout, *dout2, *out, *y, *x;  // (N, HW, C)
};

template <class T, int W>
struct Pixel {
  Packed<T, W> dout, dout2, out, y, x;
};

template <int KIND, int W, class T>
__device__ inline Pixel<T, W> read(const Maps<T>& maps, i64 at) {
  Pixel<T, W> p;
  p.dout = fetch<W>(maps.dout + at);
  if (maps.dout2) p.dout2 = fetch<W>(maps.dout2 + at);
  if (KIND != Y && maps.out) p.out = fetch<W>(maps.out + at);
  p.y = fetch<W>(maps.y + at);
  if (KIND == PROJECTION) p.x = fetch<W>(maps.x + at);
  return p;
}

// g of channel i of a pixel; a, b are the forward's affine.
template <int KIND, int W, class T>
__device__ inline float masked(const Maps<T>& maps, const Pixel<T, W>& p, int i, float a, float b) {
  float g = element(p.dout, i);
  if (maps.dout2) g += element(p.dout2, i);
  const bool on = KIND == Y ? fmaf(a, element(p.y, i), b) > 0 : !maps.out || element(p.out, i) > 0;
  return on ? g : 0.0f;
}

// part (N, splits, 2 or 3, C): sums over a stretch of g, g (y - mean), g (x - mean2). dx is null or gets g.
// Images are taken from the last, which were written just now, as in bn_se_add_relu_sums.
template <int KIND, int W, class T>
__device__ inline void sums(Maps<T> maps, T* dx, Norm norm, const float* gate, const float* mean2, float* part, int hw,
                            int c, int per) {
  enum { kinds = KIND == PROJECTION ? 3 : 2 };
  __shared__ float exchange[kinds * W * STRETCH_THREADS / 2];
  const int image = gridDim.z - 1 - blockIdx.z, split = gridDim.y - 1 - blockIdx.y;
  const Stretch s = stretch_of<W>(image, split, hw, c, per);
  float v[kinds * W] = {}, mu[W], mu2[W], a[W], b[W];
  load(mu, norm.mean + s.c);
  if (KIND == PROJECTION) load(mu2, mean2 + s.c);
  if (KIND == Y) affine(a, b, norm, gate ? gate + i64(image) * c : nullptr, s.c);
  each_pixel<2>(
      s, [=](i64 at) { return read<KIND, W>(maps, at); },
      [&](const Pixel<T, W>& p, i64 at) {
        float g[W];
#pragma unroll
        for (int i = 0; i < W; i++) g[i] = masked<KIND>(maps, p, i, a[i], b[i]);
        if (KIND == OUT && dx) store(dx + at, g);
#pragma unroll
        for (int i = 0; i < W; i++) {
          v[i] += g[i];
          v[W + i] = fmaf(g[i], element(p.y, i) - mu[i], v[W + i]);
          if (KIND == PROJECTION) v[2 * W + i] = fmaf(g[i], element(p.x, i) - mu2[i], v[2 * W + i]);
        }
      });
  sum_rows(v, exchange);
  if (!s.writes) return;
  float* to = part + (i64(image) * gridDim.y + split) * kinds * c + s.c;
#pragma unroll
  for (int k = 0; k < kinds; k++) store(to + k * c, reinterpret_cast<const float(&)[W]>(v[k * W]));
}

// coefficients (3, C): gamma r, q, u. Map 0 is y, map 1 the projection; a gradient may be null. A block is channels x
// rows; the rows share the images. The bounds are as of bn_se_add_relu_statistics.
extern "C" __global__ void __launch_bounds__(512, 1)
    bn_se_add_relu_grad_channels(const float* part, const float* gamma, const float* beta, const float* mean,
                                 const float* var, float eps, const float* gate, const float* image_mean,
                                 const float* dz, float* dgamma, float* dbeta, float* coefficients, const float* gamma2,
                                 const float* beta2, const float* mean2, const float* var2, float eps2, float* dgamma2,
                                 float* dbeta2, float* coefficients2, int n, int splits, int kinds, int hw, int c) {
  __shared__ float exchange[2 * 512 / 2];
  const int channel = blockIdx.x * blockDim.x + threadIdx.x, at = channel < c ? channel : 0;
  const bool main = blockIdx.y == 0, on = channel < c, se = main && gate;
  const Norm norm = main ? Norm{gamma, beta, mean, var, eps} : Norm{gamma2, beta2, mean2, var2, eps2};
  const int cross = (main ? 1 : 2) * c;  // kind of sum
  const float mu = norm.mean[at];
  float v[2] = {};  // dbeta, dgamma / r
  for (int image = threadIdx.y; on && image < n; image += blockDim.y) {
    const float* of_image = part + i64(image) * splits * kinds * c + at;
    float total[2] = {};
#pragma unroll 4
    for (int split = 0; split < splits; split++) {
      total[0] += of_image[split * kinds * c];
      total[1] += of_image[split * kinds * c + cross];
    }
    if (se) {
      const i64 pair = i64(image) * c + at;
      const float g = gate[pair], d = dz[pair];
      v[0] += fmaf(g, total[0], d);
      v[1] += fmaf(g, total[1], d * (image_mean[pair] - mu));
    } else {
      v[0] += total[0];
      v[1] += total[1];
    }
  }
  sum_rows(v, exchange);
  if (!on || threadIdx.y > 0) return;
  float *to_gamma = main ? dgamma : dgamma2, *to_beta = main ? dbeta : dbeta2,
        *to = main ? coefficients : coefficients2;
  const double r = 1.0 / sqrt(double(norm.var[channel]) + norm.eps), count = double(n) * hw,
               slope = norm.gamma[channel] * r, grad = v[1] * r;
  if (to_gamma) to_gamma[channel] = float(grad);
  if (to_beta) to_beta[channel] = v[0];
  to[channel] = float(slope);
  to[c + channel] = float(-slope * r * grad / count);
  to[2 * c + channel] = float(slope * (mu * r * grad - v[0]) / count);
}

// p, q, t of W channels. gate and dz (C of an image) are null without SE.
template <int W>
__device__ inline void line(float (&p)[W], float (&q)[W], float (&t)[W], const float* coefficients, const float* gate,
                            const float* dz, int hw, int c, int channels) {
  load(p, coefficients + c);
  load(q, coefficients + channels + c);
  load(t, coefficients + 2 * channels + c);
  if (gate) {
    float g[W], d[W];
    load(g, gate + c);
    load(d, dz + c);
    const float share = 1.0f / float(hw);
#pragma unroll
    for (int i = 0; i < W; i++) {
      t[i] = fmaf(p[i] * share, d[i], t[i]);
      p[i] *= g[i];
    }
  }
}

template <int KIND, int W, class T>
__device__ inline void apply(T* dy, T* dx, Maps<T> maps, Norm norm, const float* gate, const float* dz,
                             const float* coefficients, const float* coefficients2, int hw, int c, int per) {
  const Stretch s = stretch_of<W>(blockIdx.z, blockIdx.y, hw, c, per);
  float p[W], q[W], t[W], p2[W], q2[W], t2[W], a[W], b[W];
  const i64 image = i64(blockIdx.z) * c;
  line(p, q, t, coefficients, gate ? gate + image : nullptr, dz + image, hw, s.c, c);
  if (KIND == PROJECTION) line(p2, q2, t2, coefficients2, nullptr, nullptr, hw, s.c, c);
  if (KIND == Y) affine(a, b, norm, gate ? gate + image : nullptr, s.c);
  each_pixel<2>(
      s, [=](i64 at) { return read<KIND, W>(maps, at); },
      [&](const Pixel<T, W>& pixel, i64 at) {
        float v[W], v2[W];
#pragma unroll
        for (int i = 0; i < W; i++) {
          const float g = masked<KIND>(maps, pixel, i, a[i], b[i]);
          v[i] = fmaf(p[i], g, fmaf(q[i], element(pixel.y, i), t[i]));
          if (KIND == PROJECTION) v2[i] = fmaf(p2[i], g, fmaf(q2[i], element(pixel.x, i), t2[i]));
        }
        store(dy + at, v);
        if (KIND == PROJECTION) store(dx + at, v2);
      });
}

#define SENET_KIND(kind, KIND, suffix, T, W)                                                                      \
  extern "C" __global__ void __launch_bounds__(STRETCH_THREADS) bn_se_add_relu_grad_sums_##kind##_##suffix(       \
      const T* dout, const T* dout2, const T* out, const T* y, const T* x, T* dx, const float* gamma,             \
      const float* beta, const float* mean, const float* var, float eps, const float* gate, const float* mean2,   \
      float* part, int hw, int c, int per) {                                                                      \
    sums<KIND, W, T>({dout, dout2, out, y, x}, dx, {gamma, beta, mean, var, eps}, gate, mean2, part, hw, c, per); \
  }                                                                                                               \
  extern "C" __global__ void __launch_bounds__(STRETCH_THREADS) bn_se_add_relu_grad_##kind##_##suffix(            \
      T* dy, T* dx, const T* dout, const T* dout2, const T* out, const T* y, const T* x, const float* gamma,      \
      const float* beta, const float* mean, const float* var, float eps, const float* gate, const float* dz,      \
      const float* coefficients, const float* coefficients2, int hw, int c, int per) {                            \
    apply<KIND, W, T>(dy, dx, {dout, dout2, out, y, x}, {gamma, beta, mean, var, eps}, gate, dz, coefficients,    \
                      coefficients2, hw, c, per);                                                                 \
  }

#define SENET_KERNELS(suffix, T, W)  \
  SENET_KIND(out, OUT, suffix, T, W) \
  SENET_KIND(y, Y, suffix, T, W)     \
  SENET_KIND(projection, PROJECTION, suffix, T, W)
SENET_MAP_KERNELS(SENET_KERNELS)
