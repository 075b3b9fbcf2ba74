// warp: results of the functions of a warp, 32 lanes a row of y.
#include "emu.hpp"

template <class T>
__device__ inline int shuffles(T own) {
  const unsigned all = 0xffffffffu;
  T sum = __shfl_xor_sync(all, own, 1);
  sum = sum * 32 + __shfl_down_sync(all, own, 3);
  sum = sum * 32 + __shfl_up_sync(all, own, 2);
  return static_cast<int>(sum * 32 + __shfl_sync(all, own, 9, 8));
}

extern "C" __global__ void warp_all(int* y) {
  const int lane = threadIdx.x % 32;
  int* row = y + threadIdx.x;
  row[0] = shuffles(lane);
  row[64] = shuffles(static_cast<long long>(lane));
  row[128] = shuffles(static_cast<float>(lane));
  row[192] = shuffles(static_cast<double>(lane));
  row[256] = static_cast<int>(__ballot_sync(0xffffffffu, lane % 3 == 0));
  // A half of the lanes on its own, then all again.
  row[320] = lane < 16 ? __shfl_xor_sync(0x0000ffffu, lane, 15) : 100;
  row[384] = __shfl_sync(0xffffffffu, lane, 31 - lane);
  row[448] = __any_sync(0xffffffffu, lane == 4) * 2 + __all_sync(0xffffffffu, lane < 31);
}

// Lanes that have ended are not waited for.
extern "C" __global__ void warp_some_ended(int* y) {
  if (threadIdx.x >= 20) return;
  y[threadIdx.x] = __popc(__ballot_sync(0xffffffffu, 1));
}

extern "C" __global__ void warp_count(int* y, int per_thread) {
  for (int i = 0; i < per_thread; i++) atomicAdd(y, 1);
  atomicMax(y + 1, static_cast<int>(blockIdx.x + 10 * blockIdx.y + 100 * blockIdx.z + 1000 * threadIdx.z));
}
