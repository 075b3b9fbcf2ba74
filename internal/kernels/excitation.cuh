// Small float32 products around the SE block, of N images by C channels by R hidden units: out[m, j] = sum over k of
// a(m, k) b(j, k), where a and b are functions that read an operand, whatever lies behind it. product makes tiles for many
// images, dots single outputs for few images, where reading the weights fast is all that counts. Callers: excitation.cu,
// excitation_grad.cu, early_squeeze.cu.
#pragma once
#include "channel_sums.cuh"
#include "reduce.cuh"

enum {
  PRODUCT_THREADS = 256,  // of a block of product
  TILE = 32,              // rows of a tile
  DOT_IMAGES = 4,         // that share one read of a row of weights in dots
};

// A chunk of an operand, T rows by K of the summed index: fetched from device memory into registers while the chunk before
// is multiplied, then put into shared memory as (K, T + 4). ALONG_K tells which index lies contiguous in device memory:
// neighbouring threads take neighbours along it.
template <int T, int K, bool ALONG_K>
struct Chunk {
  enum { held = T * K / PRODUCT_THREADS, pitch = T + 4, floats = K * pitch };
  float v[held];

  __device__ static int k(int i) { return threadIdx.x % K; }
  // Along k a thread holds four rows, which it puts as one vector: at this pitch without bank conflicts.
  __device__ static int row(int i) { return (threadIdx.x / K + i / 4 * (PRODUCT_THREADS / K)) * 4 + i % 4; }

  __device__ void put(float* chunk) const {
#pragma unroll
    for (int i = 0; i < held; i += 4) store(chunk + k(i) * pitch + row(i), reinterpret_cast<const float(&)[4]>(v[i]));
  }
};
template <int T, int K>
struct Chunk<T, K, false> {
  enum { held = T * K / PRODUCT_THREADS, pitch = T + 4, floats = K * pitch };
  float v[held];

  __device__ static int k(int i) { return threadIdx.x / T + i * (PRODUCT_THREADS / T); }
  __device__ static int row(int i) { return threadIdx.x % T; }

  __device__ void put(float* chunk) const {
#pragma unroll
    for (int i = 0; i < held; i++) chunk[k(i) * pitch + row(i)] = v[i];
  }
};

// Fetches what a thread holds of a chunk: element (row, k) is finish(row, k, sum over p in [0, parts) of f(row, k, p)). The
// loop over p goes round all that it holds, and what lies outside is read like the nearest element inside before it counts
// as 0, so that no branch parts the loads: compiled, those of two p go out together on every architecture.
template <class C, class F, class Finish>
__device__ inline void fetch(C& chunk, int rows, int from, int to, int parts, F f, Finish finish) {
#pragma unroll
  for (int i = 0; i < C::held; i++) chunk.v[i] = 0;
#pragma unroll 2
  for (int p = 0; p < parts; p++) {
#pragma unroll
    for (int i = 0; i < C::held; i++) chunk.v[i] += f(min(C::row(i), rows - 1), min(from + C::k(i), to - 1), p);
  }
#pragma unroll
  for (int i = 0; i < C::held; i++) {
    const int r = C::row(i), k = from + C::k(i);
    const float v = finish(min(r, rows - 1), min(k, to - 1), chunk.v[i]);
    chunk.v[i] = r < rows && k < to ? v : 0.0f;
  }
}

__device__ inline float whole(int, int, float sum) { return sum; }  // finish of elements that have no parts
__device__ inline void ignore(int, int, float) {}                   // keep of those that nothing else needs

// A tile of TILE x WIDE outputs, summed over k in [from, to), K at a time. Element (m, k) of the first operand is
// finish(m, k, sum over p in [0, parts) of a(m, k, p)), of the second b(j, k); m and j count from the tile's corner, rows
// and columns say how many of them there are. keep(m, k, element) sees each of the first once; done(m, j, sum) gets each
// output. Threads multiply 4 x 4 outputs each; where that leaves threads over, groups of threads share the k of a chunk,
// and their sums are added at the end in a fixed order. All threads must call it.
template <int WIDE, int K, bool A_ALONG_K, bool B_ALONG_K>
struct Product {
  typedef Chunk<TILE, K, A_ALONG_K> A;
  typedef Chunk<WIDE, K, B_ALONG_K> B;
  enum {
    members = TILE * WIDE / 16,
    groups = PRODUCT_THREADS / members,
    outputs = TILE * WIDE,
    chunks = A::floats + B::floats,
    floats = chunks > groups* outputs ? chunks : groups* outputs,  // of shared memory
  };

  template <class FA, class Finish, class FB, class Keep, class Done>
  __device__ static void run(float* shared, int rows, int columns, int from, int to, int parts, FA a, Finish finish,
                             FB b, Keep keep, Done done) {
    float *as = shared, *bs = shared + A::floats, sum[4][4] = {};
    // A warp is 4 x 8 threads, so that what it reads of a chunk fits one access to shared memory for each operand.
    const int group = threadIdx.x / members, member = threadIdx.x % members, lane = member % 32, warp = member / 32;
    const int m = (warp % 2 * 4 + lane / 8) * 4, j = (warp / 2 * 8 + lane % 8) * 4;
    A next_a;
    B next_b;
    const auto b_whole = [=](int j, int k, int) { return b(j, k); };
    const auto fetch_chunks = [&](int from) {
      fetch(next_a, rows, from, to, parts, a, finish);
      fetch(next_b, columns, from, to, 1, b_whole, whole);
    };
    fetch_chunks(from);
    for (int at = from; at < to; at += K) {
      __syncthreads();  // the chunk before is multiplied
      next_a.put(as);
      next_b.put(bs);
#pragma unroll
      for (int i = 0; i < A::held; i++)
        if (A::row(i) < rows && at + A::k(i) < to) keep(A::row(i), at + A::k(i), next_a.v[i]);
      __syncthreads();
      if (at + K < to) fetch_chunks(at + K);
#pragma unroll 4
      for (int k = group; k < K; k += groups) {
        float x[4], y[4];
        load(x, as + k * A::pitch + m);
        load(y, bs + k * B::pitch + j);
#pragma unroll
        for (int i = 0; i < 16; i++) sum[i / 4][i % 4] = fmaf(x[i / 4], y[i % 4], sum[i / 4][i % 4]);
      }
    }
    __syncthreads();
#pragma unroll
    for (int i = 0; i < 4; i++) store(shared + group * outputs + (m + i) * WIDE + j, sum[i]);
    __syncthreads();
    for (int o = threadIdx.x; o < outputs; o += PRODUCT_THREADS) {
      float total = 0;
#pragma unroll
      for (int g = 0; g < groups; g++) total += shared[g * outputs + o];
      if (o / WIDE < rows && o % WIDE < columns) done(o / WIDE, o % WIDE, total);
    }
  }
};

// For each m in [0, rows), at most DOT_IMAGES: done(m, sum over k in [0, count) and p in [0, parts) of a(m, k, p) b(k)), by
// one thread. A block makes one output of each image. Missing images are read like the last one, so that no branch parts the
// loads. shared is memory for 32 floats. All threads must call it.
template <class FA, class FB, class Done>
__device__ inline void dots(float* shared, int rows, int count, int parts, FA a, FB b, Done done) {
  float sum[DOT_IMAGES] = {};
#pragma unroll 4
  for (int k = threadIdx.x; k < count; k += blockDim.x) {
    const float weight = b(k);
#pragma unroll 4
    for (int p = 0; p < parts; p++) {
#pragma unroll
      for (int m = 0; m < DOT_IMAGES; m++) sum[m] = fmaf(a(min(m, rows - 1), k, p), weight, sum[m]);
    }
  }
#pragma unroll
  for (int m = 0; m < DOT_IMAGES; m++) {
    if (m < rows) {  // the same for all threads
      const float total = block_sum(sum[m], shared);
      if (threadIdx.x == 0) done(m, total);
    }
  }
}

__device__ inline float at_least_zero(float x) { return x < 0 ? 0.0f : x; }  // lets NaN through

// The squeeze of an image's channel: m itself, or where norm.gamma is there, that of the normalised map whose raw mean is
// m (N, C).
struct Squeeze {
  const float* m;
  Norm norm;
  int c;
  __device__ float operator()(int image, int channel) const {
    const float v = m[image * c + channel];
    if (!norm.gamma) return v;
    return fmaf(norm.gamma[channel] * deviation(norm, channel), v - norm.mean[channel], norm.beta[channel]);
  }
};
