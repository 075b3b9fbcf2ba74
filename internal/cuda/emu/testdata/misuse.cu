// What the emulator must find.
#include "emu.hpp"

extern "C" __global__ void misuse_early_end(int* y) {
  if (threadIdx.x == 3) return;
  __syncthreads();
  y[threadIdx.x] = 1;
}

extern "C" __global__ void misuse_two_kinds(int* y) {
  if (threadIdx.x < 32) y[threadIdx.x] = __shfl_sync(0xffffffffu, 1, 0);
  else if (threadIdx.x < 40) y[threadIdx.x] = __shfl_sync(0xffffffffu, 1, 0);
  else __syncthreads();
}

extern "C" __global__ void misuse_mixed_warp(int* y) {
  y[threadIdx.x] = threadIdx.x % 2 ? __shfl_sync(0xffffffffu, 1, 0) : static_cast<int>(__ballot_sync(0xffffffffu, 1));
}

// Writes count numbers.
extern "C" __global__ void misuse_write(int* y, long long first, int count) {
  for (int i = 0; i < count; i++) y[first + i] = 7;
}

extern "C" __global__ void misuse_divide(int* y, int by) { y[0] = y[1] / by; }

__device__ int deep(int n) {
  volatile int row[1024];
  row[n % 1024] = n;
  return n == 0 ? 0 : deep(n - 1) + row[n % 1024];
}

extern "C" __global__ void misuse_stack(int* y, int n) { y[0] = deep(n); }

// What shared memory holds at the start of a block.
extern "C" __global__ void misuse_fresh_shared(unsigned* y) {
  __shared__ unsigned fixed[4];
  SENET_DYNAMIC_SHARED(unsigned, dynamic);
  y[2 * blockIdx.x] = fixed[1];
  y[2 * blockIdx.x + 1] = dynamic[1];
  fixed[1] = dynamic[1] = 5;
}
