// What threads do together: barriers, exchanges within a warp, atomic operations.
#pragma once

namespace emu {
enum Meeting { SYNC, SHUFFLE, VOTE };

// Waits for all threads of the block.
__attribute__((visibility("default"))) void block_barrier();

// Waits for all lanes of mask that have not ended. A SHUFFLE returns the value of lane from, or 0xff bytes where that lane
// takes no part; a VOTE returns the lanes whose value is not 0.
__attribute__((visibility("default"))) unsigned long long meet(Meeting, unsigned mask, unsigned long long value,
                                                               int from);

__attribute__((visibility("default"))) int lane();

template <class T>
inline T shuffle(unsigned mask, T value, int from) {
  static_assert(sizeof(T) <= 8, "a shuffle moves at most 8 bytes");
  unsigned long long word = 0;
  memcpy(&word, &value, sizeof value);
  word = meet(SHUFFLE, mask, word, from);
  memcpy(&value, &word, sizeof value);
  return value;
}
}  // namespace emu

inline void __syncthreads() { emu::block_barrier(); }
inline void __syncwarp(unsigned mask = 0xffffffffu) { emu::meet(emu::SYNC, mask, 0, 0); }

// Lanes shuffle within segments of width lanes, a power of 2.
template <class T>
inline T __shfl_sync(unsigned mask, T value, int from, int width = 32) {
  return emu::shuffle(mask, value, (emu::lane() & ~(width - 1)) | (from & (width - 1)));
}
template <class T>
inline T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32) {
  const int lane = emu::lane(), from = lane ^ lanes;
  return emu::shuffle(mask, value, from > (lane | (width - 1)) ? lane : from);
}
template <class T>
inline T __shfl_down_sync(unsigned mask, T value, unsigned lanes, int width = 32) {
  const int lane = emu::lane(), from = lane + static_cast<int>(lanes);
  return emu::shuffle(mask, value, from > (lane | (width - 1)) ? lane : from);
}
template <class T>
inline T __shfl_up_sync(unsigned mask, T value, unsigned lanes, int width = 32) {
  const int lane = emu::lane(), from = lane - static_cast<int>(lanes);
  return emu::shuffle(mask, value, from < (lane & ~(width - 1)) ? lane : from);
}
inline unsigned __ballot_sync(unsigned mask, int vote) {
  return static_cast<unsigned>(emu::meet(emu::VOTE, mask, vote != 0, 0));
}
inline int __any_sync(unsigned mask, int vote) { return __ballot_sync(mask, vote) != 0; }
inline int __all_sync(unsigned mask, int vote) { return __ballot_sync(mask, vote == 0) == 0; }

inline void __threadfence() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
inline void __threadfence_block() {}

// Another block may run on another OS thread.
template <class T>
inline T atomicAdd(T* p, T x) {
  return __atomic_fetch_add(p, x, __ATOMIC_SEQ_CST);
}
template <class T>
inline T atomicExch(T* p, T x) {
  return __atomic_exchange_n(p, x, __ATOMIC_SEQ_CST);
}
template <class T>
inline T atomicCAS(T* p, T expected, T x) {
  __atomic_compare_exchange_n(p, &expected, x, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
  return expected;
}
inline int atomicMax(int* p, int x) {
  int old = *p;
  while (old < x && !__atomic_compare_exchange_n(p, &old, x, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
  }
  return old;
}
template <class T>
inline T __ldg(const T* p) {
  return *p;
}
