// Sums over the threads of a warp and of a block, in a fixed order: the same bits in every run.
#pragma once
#include "types.cuh"

enum { WARP = 32 };  // lanes

// The sum over a warp's lanes, in every lane. All 32 lanes must call it.
__device__ inline float warp_sum(float x) {
#pragma unroll
  for (int lanes = WARP / 2; lanes > 0; lanes /= 2) x += __shfl_xor_sync(0xffffffffu, x, lanes);
  return x;
}

// The sum over a block's threads, in every thread. parts is shared memory for 32 floats. All threads must call it,
// their number a multiple of 32.
__device__ inline float block_sum(float x, float* parts) {
  const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, warps = blockDim.x / WARP;
  x = warp_sum(x);
  __syncthreads();  // parts may still be read from the call before
  if (lane == 0) parts[warp] = x;
  __syncthreads();
  return warp_sum(lane < warps ? parts[lane] : 0.0f);
}
