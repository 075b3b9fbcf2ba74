// Vectors of numbers and the built-in variables.
#pragma once

// SENET_VECTOR(float, float) makes float2, float3 and float4, as aligned as on a device.
#define SENET_VECTOR(name, T)                                        \
  struct __align__(2 * sizeof(T)) name##2 {                          \
    T x, y;                                                          \
  };                                                                 \
  struct name##3 {                                                   \
    T x, y, z;                                                       \
  };                                                                 \
  struct __align__(sizeof(T) < 8 ? 4 * sizeof(T) : 16) name##4 {     \
    T x, y, z, w;                                                    \
  };                                                                 \
  inline name##2 make_##name##2(T x, T y) { return {x, y}; }         \
  inline name##3 make_##name##3(T x, T y, T z) { return {x, y, z}; } \
  inline name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }

SENET_VECTOR(char, signed char)
SENET_VECTOR(uchar, unsigned char)
SENET_VECTOR(short, short)
SENET_VECTOR(ushort, unsigned short)
SENET_VECTOR(int, int)
SENET_VECTOR(uint, unsigned)
SENET_VECTOR(float, float)
SENET_VECTOR(longlong, long long)
SENET_VECTOR(ulonglong, unsigned long long)
SENET_VECTOR(double, double)
#undef SENET_VECTOR

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

// Of the thread that runs now.
extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
enum { warpSize = 32 };

namespace emu {
extern unsigned char* dynamic_shared;  // 16-byte aligned; the page behind its last 16 bytes cannot be touched
}
