// The two passes of a separable resize.
#pragma once
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// One direction of a resize: output i sums `taps` inputs from first[i] on. A weight, which has 22 fractional bits, is split
// as high * 2^15 + low with 0 <= low < 2^15, so that 16-bit multiplications give the exact sum.
typedef struct {
  int n;                   // outputs
  int taps;                // a multiple of 4 (3 channels), 8 (1 channel) or 2 (columns); spare weights are 0
  const int32_t* first;    // (n)
  const int16_t* weights;  // (n, 2, taps): the high parts of an output's weights, then the low parts
} senet_axis;

// senet_resample_rows filters `rows` rows of interleaved values along x; out is (rows, x.n, channels) without gaps. Inputs
// whose weight is 0 are read, and 8 bytes beyond.
void senet_resample_rows(senet_axis x, int channels, int rows, const uint8_t* in, size_t in_stride, uint8_t* out);

// senet_resample_columns filters along y; out is (y.n, bytes) without gaps. Inputs whose weight is 0 are read, and 15 bytes
// beyond a row.
void senet_resample_columns(senet_axis y, size_t bytes, const uint8_t* in, size_t in_stride, uint8_t* out);

#ifdef __cplusplus
}
#endif
