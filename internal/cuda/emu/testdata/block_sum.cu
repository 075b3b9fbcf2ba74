// block_sum: sums[b] = the sum of the 256 numbers of block b, by a tree in shared memory.
#include "emu.hpp"

template <class T>
__device__ inline T tree(T* part, const T* x) {
  const unsigned t = threadIdx.x;
  part[t] = x[blockIdx.x * blockDim.x + t];
  __syncthreads();  // all parts are there
  for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
    if (t < half) part[t] += part[t + half];
    __syncthreads();  // the half is summed
  }
  return part[0];
}

extern "C" __global__ void __launch_bounds__(256) block_sum_i32(int* sums, const int* x) {
  __shared__ int part[256];
  const int sum = tree(part, x);
  if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

extern "C" __global__ void block_sum_dynamic(int* sums, const int* x) {
  SENET_DYNAMIC_SHARED(int, part);
  const int sum = tree(part, x);
  if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}
