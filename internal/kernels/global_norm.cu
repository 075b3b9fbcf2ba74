// global_norm: the square root of the sum of all gradients' squares, divided by the loss scale. Squares are float64, for those
// of float32 overflow; NaN and infinity come through. Each block adds up a chunk of one gradient, one more adds up the
// blocks, both in a fixed order. 4 bytes a parameter. Caller: global_norm.go.
#include "chunks.cuh"
#include "reduce.cuh"

// An entry of the table that global_norm.go makes.
struct Gradient {
  const float* grad;
  i64 count;
};

// As block_sum, of float64.
__device__ inline double block_sum(double x, double* parts) {
  const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, warps = blockDim.x / WARP;
  for (int lanes = WARP / 2; lanes > 0; lanes /= 2) x += __shfl_xor_sync(0xffffffffu, x, lanes);
  if (lane == 0) parts[warp] = x;
  __syncthreads();
  x = lane < warps ? parts[lane] : 0.0;
  for (int lanes = WARP / 2; lanes > 0; lanes /= 2) x += __shfl_xor_sync(0xffffffffu, x, lanes);
  return x;
}

// A thread's share of a gradient's squares.
struct Squares {
  const float* grad;
  double sum;

  template <int W>
  __device__ void at(i64 i) {
    float x[W];
    load(x, grad + i);
#pragma unroll
    for (int j = 0; j < W; j++) sum += double(x[j]) * x[j];
  }
};

// squares: one sum for each block.
extern "C" __global__ void global_norm_squares(double* squares, const Gradient* gradients, const i64* chunks) {
  __shared__ double parts[WARP];
  const i64 entry = chunks[blockIdx.x];
  const Gradient g = gradients[entry >> 32];
  Squares s = {g.grad, 0.0};
  each_of_chunk(entry, g.count, s);
  const double sum = block_sum(s.sum, parts);
  if (threadIdx.x == 0) squares[blockIdx.x] = sum;
}

// scale may be null. One block.
extern "C" __global__ void global_norm_root(float* norm, const double* squares, const float* scale, int count) {
  __shared__ double parts[WARP];
  double sum = 0.0;
  for (int i = threadIdx.x; i < count; i += blockDim.x) sum += squares[i];
  sum = block_sum(sum, parts);
  if (threadIdx.x == 0) norm[0] = float(sqrt(sum) / (scale ? scale[0] : 1.0f));
}
