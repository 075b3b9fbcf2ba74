// convert: every conversion between float and the 16-bit types, and plain copies with a sum.
#include "emu.hpp"

extern "C" __global__ void convert_widen(unsigned* bf16, unsigned* f16) {
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  bf16[i] = __float_as_uint(__bfloat162float(__ushort_as_bfloat16(static_cast<unsigned short>(i))));
  f16[i] = __float_as_uint(__half2float(__ushort_as_half(static_cast<unsigned short>(i))));
}

extern "C" __global__ void convert_narrow(unsigned short* bf16, unsigned short* f16, const unsigned* x, int count) {
  for (int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x); i < count; i += gridDim.x * blockDim.x) {
    bf16[i] = __bfloat16_as_ushort(__float2bfloat16_rn(__uint_as_float(x[i])));
    f16[i] = __half_as_ushort(__float2half_rn(__uint_as_float(x[i])));
  }
}

extern "C" __global__ void convert_add(int* y, const int* x, int count, int plus) {
  for (int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x); i < count; i += gridDim.x * blockDim.x)
    y[i] = x[i] + plus;
}
