// How kernels whose numbers belong to a channel pass over a map (images, pixels, C): a thread keeps W channels, so what
// belongs to them is loaded once, and goes down a stretch of pixels of one image. A block is lanes x rows threads: lanes
// are neighbours along the channels, so that a warp reads up to 512 bytes of a pixel or several whole pixels, rows take
// the pixels in turn. The grid is (channels, stretches, images). Callers: .cu files, launched through channel_sums.go.
#pragma once
#include "types.cuh"

enum { STRETCH_THREADS = 128 };  // at most, as channel_sums.go has it

// The part of a map that a thread passes over.
struct Stretch {
  int c, channels;        // its first channel, of how many
  int first, step, last;  // its pixels: first, first + step, ... below last; none beyond the last channel
  int pixels;             // of the whole block
  i64 image;              // element of the image's first pixel at c
  bool writes;            // the thread has its channels' sums after sum_rows, and channels at all
};

// per is the number of pixels in a stretch; hw of them make an image.
template <int W>
__device__ inline Stretch stretch_of(int image, int split, int hw, int channels, int per) {
  Stretch s;
  const int c = int(blockIdx.x * blockDim.x + threadIdx.x) * W, from = split * per, to = min(hw, from + per);
  const bool on = c < channels;
  s.c = on ? c : 0;
  s.channels = channels;
  s.first = from + int(threadIdx.y);
  s.step = int(blockDim.y);
  s.last = on ? to : 0;
  s.pixels = to - from;
  s.image = i64(image) * hw * channels + s.c;
  s.writes = on && threadIdx.y == 0;
  return s;
}

// Calls use(load(element), element) for every pixel of the stretch. It loads for U pixels before it uses the first, so
// that a thread has that many reads under way; an element is read before it is written, so maps may lie in place.
// ptxas undoes that order to save registers, so that a load waits for the one before, unless the kernel's
// __launch_bounds__ says how many blocks a multiprocessor is to hold. Kernels name a number at which, compiled for every
// architecture, the loads of U pixels are issued together and nothing spills; loads_test.go holds them to it.
template <int U, class Load, class Use>
__device__ inline void each_pixel(const Stretch& s, Load load, Use use) {
  const i64 row = i64(s.step) * s.channels;
  i64 at = s.image + i64(s.first) * s.channels;
  int p = s.first;
  for (; p + (U - 1) * s.step < s.last; p += U * s.step, at += U * row) {
    decltype(load(at)) loaded[U];
#pragma unroll
    for (int u = 0; u < U; u++) loaded[u] = load(at + u * row);
#pragma unroll
    for (int u = 0; u < U; u++) use(loaded[u], at + u * row);
  }
#pragma unroll 1
  for (; p < s.last; p += s.step, at += row) use(load(at), at);
}

// W elements as they lie in memory, in whole registers: where maps have 16 bits, half of what floats take, a quarter of
// what single elements would.
template <class T, int W>
struct alignas(W * sizeof(T)) Packed {
  unsigned words[W * sizeof(T) / 4];
};
template <class T>
struct Packed<T, 1> {
  T element;
};

template <int W, class T>
__device__ inline Packed<T, W> fetch(const T* p) {
  return *reinterpret_cast<const Packed<T, W>*>(p);
}

// Element i of the elements in words.
__device__ inline float from_words(const unsigned* words, int i, float) { return __uint_as_float(words[i]); }
__device__ inline float from_words(const unsigned* words, int i, bf16) {
  return __uint_as_float(i % 2 ? words[i / 2] & 0xffff0000u : words[i / 2] << 16);
}
__device__ inline float from_words(const unsigned* words, int i, f16) {
  return to_float(__ushort_as_half(static_cast<unsigned short>(words[i / 2] >> i % 2 * 16)));
}
template <class T, int W>
__device__ inline float element(const Packed<T, W>& v, int i) {
  if constexpr (W == 1) return to_float(v.element);
  else return from_words(v.words, i, T());
}

// Adds v over the rows of a block, always in the same order; the threads of row 0 get the sums. All threads must call
// it. exchange is shared memory for K * threads / 2 floats.
template <int K>
__device__ inline void sum_rows(float (&v)[K], float* exchange) {
  const int lanes = blockDim.x, lane = threadIdx.x, row = threadIdx.y, half_block = lanes * blockDim.y / 2;
  for (int rows = blockDim.y; rows > 1;) {
    const int half = (rows + 1) / 2;
    __syncthreads();  // exchange may still be read from the round before
    if (row >= half && row < rows) {
#pragma unroll
      for (int k = 0; k < K; k++) exchange[k * half_block + (row - half) * lanes + lane] = v[k];
    }
    __syncthreads();
    if (row + half < rows) {
#pragma unroll
      for (int k = 0; k < K; k++) v[k] += exchange[k * half_block + row * lanes + lane];
    }
    rows = half;
  }
}

// What normalises a channel: u = gamma (y - mean) / sqrt(var + eps) + beta. Each (C).
struct Norm {
  const float *gamma, *beta, *mean, *var;
  float eps;
};

__device__ inline float deviation(const Norm& n, int c) { return rsqrtf(n.var[c] + n.eps); }  // 1 / sqrt(var + eps)

// a, b with u = a y + b for W channels, times gate (C of an image) unless it is null. The backward pass takes the ReLU's
// sign from the same expression, so it sees the bits that the forward pass saw.
template <int W>
__device__ inline void affine(float (&a)[W], float (&b)[W], const Norm& n, const float* gate, int c) {
  float gamma[W], beta[W], mean[W], var[W];
  load(gamma, n.gamma + c);
  load(beta, n.beta + c);
  load(mean, n.mean + c);
  load(var, n.var + c);
#pragma unroll
  for (int i = 0; i < W; i++) {
    a[i] = gamma[i] * rsqrtf(var[i] + n.eps);
    b[i] = fmaf(-a[i], mean[i], beta[i]);
  }
  if (gate) {
    float g[W];
    load(g, gate + c);
#pragma unroll
    for (int i = 0; i < W; i++) a[i] *= g[i], b[i] *= g[i];
  }
}
