// max_pool: y (N, P, Q, C) = the maximum of each window of x (N, H, W, C), with its position r kernel + s as a byte, the
// first of equal ones; NaN wins. Its gradient gathers: each pixel sums dy of the windows that it won in a fixed order, so
// threads share nothing and dx is written once. Reads x, writes y and positions, and the other way round; what windows
// share comes from caches. Caller: max_pool.go.
// Modelled, instructions bound both before memory does, so the stems' windows, 3 x 3 at every second pixel, are compiled for
// themselves and their loops unroll. Compiled for sm_90, 16 bytes of bf16 take 573 instructions forward, with 9 loads in 4
// rounds, and 106 backward, where all loads go out together. The blocks in __launch_bounds__ are the most at which nothing
// spills on any architecture.
#include "channel_sums.cuh"
#include "pool.cuh"

// Calls f(t), for the stems' windows with numbers known to the compiler.
template <class F>
__device__ inline void with_window(Pool t, F f) {
  if (t.kernel == 3 && t.stride == 2) {
    t.kernel = 3;
    t.stride = 2;
    f(t);
  } else {
    f(t);
  }
}

// position is null in inference. Where a window leaves the map, the nearest pixel inside, which it has anyway, counts twice.
template <int W, class T>
__device__ inline void maximum(T* y, u8* position, const T* x, const Pool& t, int images, int c) {
  each_vector<W>(images, t.p, t.q, c, [=](int n, int p, int q, int channel) {
    const T* image = x + i64(n) * t.h * t.w * c + channel;
    const int top = p * t.stride - t.pad, left = q * t.stride - t.pad;
    float best[W];
    int at[W];
#pragma unroll
    for (int k = 0; k < W; k++) {
      best[k] = -infinity();
      at[k] = max(-top, 0) * t.kernel + max(-left, 0);
    }
#pragma unroll
    for (int r = 0; r < t.kernel; r++) {
#pragma unroll
      for (int s = 0; s < t.kernel; s++) {
        const int row = min(max(top + r, 0), t.h - 1), column = min(max(left + s, 0), t.w - 1);
        const int here = (row - top) * t.kernel + column - left;
        const Packed<T, W> v = fetch<W>(image + (row * t.w + column) * c);
#pragma unroll
        for (int k = 0; k < W; k++) {
          const bool wins = element(v, k) > best[k] || isnan(element(v, k));
          best[k] = wins ? element(v, k) : best[k];
          at[k] = wins ? here : at[k];
        }
      }
    }
    const i64 to = ((i64(n) * t.p + p) * t.q + q) * c + channel;
    store(y + to, best);
    if (!position) return;
    Vec<u8, W> bytes;
#pragma unroll
    for (int k = 0; k < W; k++) bytes.at[k] = u8(at[k]);
    *reinterpret_cast<Vec<u8, W>*>(position + to) = bytes;
  });
}

// Whether byte i of v is b.
template <int W>
__device__ inline bool is(const Packed<u8, W>& v, int i, unsigned b) {
  if constexpr (W == 1) return v.element == b;
  else return !((v.words[i / 4] ^ b * 0x01010101u) & 0xffu << i % 4 * 8);  // compiled: one instruction
}

template <int W, class T>
__device__ inline void maximum_grad(T* dx, const T* dy, const u8* position, const Pool& t, int images, int c) {
  gather<W>(dx, t, images, c, [=](float(&sum)[W], i64 from, int p, int q, int r, int s) {
    const int nowhere = 255;  // no position: a kernel is at most 15
    const int here = within(p, t.p) && within(q, t.q) ? r * t.kernel + s : nowhere;
    const Packed<u8, W> won = fetch<W>(position + from);
    const Packed<T, W> g = fetch<W>(dy + from);
#pragma unroll
    for (int k = 0; k < W; k++)
      if (is<W>(won, k, here)) sum[k] += element(g, k);
  });
}

#define SENET_KERNELS(suffix, T, W)                                                                                 \
  extern "C" __global__ void __launch_bounds__(256, 3)                                                              \
      max_pool_##suffix(T* __restrict__ y, u8* __restrict__ position, const T* __restrict__ x, int n, int h, int w, \
                        int p, int q, int c, int kernel, int stride, int pad) {                                     \
    with_window({h, w, p, q, kernel, stride, pad}, [=](const Pool& t) { maximum<W>(y, position, x, t, n, c); });    \
  }                                                                                                                 \
  extern "C" __global__ void __launch_bounds__(256, 4)                                                              \
      max_pool_grad_##suffix(T* __restrict__ dx, const T* __restrict__ dy, const u8* __restrict__ position, int n,  \
                             int h, int w, int p, int q, int c, int kernel, int stride, int pad) {                  \
    with_window({h, w, p, q, kernel, stride, pad},                                                                  \
                [=](const Pool& t) { maximum_grad<W>(dx, dy, position, t, n, c); });                                \
  }
SENET_MAP_KERNELS(SENET_KERNELS)
