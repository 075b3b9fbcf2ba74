// The twins of mma.cuh's instructions for the emulator. Copies happen at once. A collective writes each lane's
// registers to a buffer, waits for the warp and reads those of the others; it alternates between two buffers, so that
// a lane may be one collective ahead of another.
#pragma once
#include <cstring>

inline void copy16(void* to, const void* from, bool there) {
  if (there) std::memcpy(to, from, 16);
  else std::memset(to, 0, 16);
}
inline void copy_commit() {}
template <int pending>
inline void copy_wait() {}

// What the lanes of a warp show each other in one collective.
struct Exchange {
  const unsigned char* row[32];
  unsigned a[32][4], b[32][2];
};

// The buffer of this lane's next collective.
inline Exchange& next_exchange() {
  static thread_local Exchange buffers[32][2];       // of each warp
  static thread_local unsigned char parity[32][32];  // of each lane
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  return buffers[warp][parity[warp][lane] ^= 1];
}

inline void warp_load(unsigned (&to)[4], const void* row) {
  Exchange& lanes = next_exchange();
  const int lane = threadIdx.x % 32;
  lanes.row[lane] = static_cast<const unsigned char*>(row);
  __syncwarp();
  for (int i = 0; i < 4; i++) std::memcpy(&to[i], lanes.row[8 * i + lane / 4] + lane % 4 * 4, 4);
}

inline void warp_load_transposed(unsigned (&to)[4], const void* row) {
  Exchange& lanes = next_exchange();
  const int lane = threadIdx.x % 32;
  lanes.row[lane] = static_cast<const unsigned char*>(row);
  __syncwarp();
  for (int i = 0; i < 4; i++) {
    unsigned short pair[2];
    for (int j = 0; j < 2; j++) std::memcpy(&pair[j], lanes.row[8 * i + lane % 4 * 2 + j] + lane / 4 * 2, 2);
    std::memcpy(&to[i], pair, 4);
  }
}

template <class T>
inline void warp_multiply(float* c, const unsigned (&a)[4], const unsigned* b) {
  constexpr int per = 4 / sizeof(T);  // elements a register
  Exchange& lanes = next_exchange();
  const int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
  std::memcpy(lanes.a[lane], a, sizeof a);
  std::memcpy(lanes.b[lane], b, 2 * sizeof(unsigned));
  __syncwarp();
  for (int half = 0; half < 2; half++) {  // of the registers along k
    for (int other = 0; other < 4; other++) {
      T rows[2][per], columns[2][per];
      for (int i = 0; i < 2; i++) {
        std::memcpy(rows[i], &lanes.a[4 * g + other][2 * half + i], 4);
        std::memcpy(columns[i], &lanes.b[4 * (2 * t + i) + other][half], 4);
      }
      for (int i = 0; i < 4; i++)
        for (int k = 0; k < per; k++) c[i] += to_float(rows[i / 2][k]) * to_float(columns[i % 2][k]);
    }
  }
}

inline unsigned round_tf32(unsigned bits) {
  return (bits & 0x7f800000) == 0x7f800000 ? bits : (bits + 0x1000) & ~0x1fffu;
}

template <class T>
inline T load_constant(const T* p) {
  return *p;
}
