// bfloat16, binary16, reinterpretation and the arithmetic functions that only CUDA has.
#pragma once
#include <string.h>

namespace emu {
template <class To, class From>
inline To bits(const From& from) {
  static_assert(sizeof(To) == sizeof(From), "bits are reinterpreted, not converted");
  To to;
  memcpy(&to, &from, sizeof to);
  return to;
}

// x / 2^shift, ties to even; shift is 1 to 31.
inline unsigned round_shift(unsigned x, int shift) {
  const unsigned half = 1u << (shift - 1), rest = x & ((half << 1) - 1), floor = x >> shift;
  return floor + (rest > half || (rest == half && (floor & 1)));
}

// A carry out of the mantissa makes the next exponent, and at the end infinity, as it should.
inline unsigned short to_bfloat16(float f) {
  const unsigned x = bits<unsigned>(f);
  if ((x & 0x7fffffffu) > 0x7f800000u) return 0x7fff;  // what a device makes of any NaN
  return static_cast<unsigned short>(round_shift(x, 16));
}

inline float from_bfloat16(unsigned short h) { return bits<float>(static_cast<unsigned>(h) << 16); }

inline unsigned short to_half(float f) {
  const unsigned x = bits<unsigned>(f), sign = x >> 16 & 0x8000u, magnitude = x & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return 0x7fff;
  if (magnitude >= 0x47800000u) return static_cast<unsigned short>(sign | 0x7c00u);  // 2^16 and more
  const int exponent = static_cast<int>(magnitude >> 23) - 127;
  if (exponent >= -14) return static_cast<unsigned short>(sign | round_shift(magnitude - (112u << 23), 13));
  if (exponent < -25) return static_cast<unsigned short>(sign);
  // A denormal counts 2^-24; the mantissa with its leading one counts 2^(exponent - 23).
  return static_cast<unsigned short>(sign | round_shift((magnitude & 0x7fffffu) | 0x800000u, -1 - exponent));
}

inline float from_half(unsigned short h) {
  const unsigned sign = (h & 0x8000u) << 16, exponent = h >> 10 & 31, mantissa = h & 0x3ffu;
  if (exponent == 31) return bits<float>(sign | 0x7f800000u | mantissa << 13);
  if (exponent > 0) return bits<float>(sign | (exponent + 112) << 23 | mantissa << 13);
  const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
  return sign ? -magnitude : magnitude;
}
}  // namespace emu

struct __nv_bfloat16 {
  unsigned short bits;
};
struct __half {
  unsigned short bits;
};
struct __align__(4) __nv_bfloat162 {
  __nv_bfloat16 x, y;
};
struct __align__(4) __half2 {
  __half x, y;
};

inline __nv_bfloat16 __float2bfloat16_rn(float x) { return {emu::to_bfloat16(x)}; }
inline __nv_bfloat16 __float2bfloat16(float x) { return {emu::to_bfloat16(x)}; }
inline float __bfloat162float(__nv_bfloat16 x) { return emu::from_bfloat16(x.bits); }
inline __half __float2half_rn(float x) { return {emu::to_half(x)}; }
inline __half __float2half(float x) { return {emu::to_half(x)}; }
inline float __half2float(__half x) { return emu::from_half(x.bits); }
inline __nv_bfloat162 __floats2bfloat162_rn(float x, float y) {
  return {__float2bfloat16_rn(x), __float2bfloat16_rn(y)};
}
inline float2 __bfloat1622float2(__nv_bfloat162 v) { return {__bfloat162float(v.x), __bfloat162float(v.y)}; }
inline __half2 __floats2half2_rn(float x, float y) { return {__float2half_rn(x), __float2half_rn(y)}; }
inline float2 __half22float2(__half2 v) { return {__half2float(v.x), __half2float(v.y)}; }
inline unsigned short __bfloat16_as_ushort(__nv_bfloat16 x) { return x.bits; }
inline __nv_bfloat16 __ushort_as_bfloat16(unsigned short x) { return {x}; }
inline unsigned short __half_as_ushort(__half x) { return x.bits; }
inline __half __ushort_as_half(unsigned short x) { return {x}; }

inline int __float_as_int(float x) { return emu::bits<int>(x); }
inline unsigned __float_as_uint(float x) { return emu::bits<unsigned>(x); }
inline float __int_as_float(int x) { return emu::bits<float>(x); }
inline float __uint_as_float(unsigned x) { return emu::bits<float>(x); }
inline long long __double_as_longlong(double x) { return emu::bits<long long>(x); }
inline double __longlong_as_double(long long x) { return emu::bits<double>(x); }

inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
inline double rsqrt(double x) { return 1.0 / sqrt(x); }
inline float __fdividef(float x, float y) { return x / y; }
inline float __frcp_rn(float x) { return 1.0f / x; }
inline float __fsqrt_rn(float x) { return sqrtf(x); }
inline float __fadd_rn(float x, float y) { return x + y; }
inline float __fmul_rn(float x, float y) { return x * y; }
inline float __fmaf_rn(float x, float y, float z) { return fmaf(x, y, z); }
inline float __fdiv_rn(float x, float y) { return x / y; }
inline float __expf(float x) { return expf(x); }
inline float __logf(float x) { return logf(x); }
inline float __saturatef(float x) { return x > 0.0f ? (x < 1.0f ? x : 1.0f) : 0.0f; }  // NaN gives 0, as on a device
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __clz(int x) { return x == 0 ? 32 : __builtin_clz(static_cast<unsigned>(x)); }
inline unsigned __umulhi(unsigned x, unsigned y) {
  return static_cast<unsigned>((static_cast<unsigned long long>(x) * y) >> 32);
}
inline unsigned long long __umul64hi(unsigned long long x, unsigned long long y) {
  return static_cast<unsigned long long>((static_cast<unsigned __int128>(x) * y) >> 64);
}

#define SENET_MIN_MAX(T)                           \
  inline T min(T a, T b) { return b < a ? b : a; } \
  inline T max(T a, T b) { return a < b ? b : a; }
SENET_MIN_MAX(int)
SENET_MIN_MAX(unsigned)
SENET_MIN_MAX(long)
SENET_MIN_MAX(unsigned long)
SENET_MIN_MAX(long long)
SENET_MIN_MAX(unsigned long long)
#undef SENET_MIN_MAX
inline unsigned min(int a, unsigned b) { return min(static_cast<unsigned>(a), b); }
inline unsigned min(unsigned a, int b) { return min(a, static_cast<unsigned>(b)); }
inline unsigned max(int a, unsigned b) { return max(static_cast<unsigned>(a), b); }
inline unsigned max(unsigned a, int b) { return max(a, static_cast<unsigned>(b)); }
inline float min(float a, float b) { return fminf(a, b); }
inline float max(float a, float b) { return fmaxf(a, b); }
inline double min(double a, double b) { return fmin(a, b); }
inline double max(double a, double b) { return fmax(a, b); }
