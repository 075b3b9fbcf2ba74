#include "resample.h"

#include <immintrin.h>

#include <cstring>

namespace {

constexpr int kFraction = 22, kSplit = 15;

// The sum of products with weights that are split, in 32-bit lanes. What wraps around in between does no harm: the total fits.
struct Sum {
  __m256i high = _mm256_setzero_si256();
  __m256i low = _mm256_set1_epi32(1 << (kFraction - 1));  // rounds

  // Add takes two inputs a lane, as 16-bit numbers, and their weights.
  void Add(__m256i inputs, __m256i weights_high, __m256i weights_low) {
    high = _mm256_add_epi32(high, _mm256_madd_epi16(inputs, weights_high));
    low = _mm256_add_epi32(low, _mm256_madd_epi16(inputs, weights_low));
  }

  __m256i Value() const { return _mm256_srai_epi32(_mm256_add_epi32(_mm256_slli_epi32(high, kSplit), low), kFraction); }
};

// Pair is two neighbouring weights in every lane.
__m256i Pair(const int16_t* weights) {
  int32_t pair;
  std::memcpy(&pair, weights, sizeof pair);
  return _mm256_set1_epi32(pair);
}

__m128i Load(const uint8_t* p) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)); }

// Store writes a pixel of 3 bytes, and one byte beyond unless it is the last.
void Store(uint8_t* p, __m128i pixel, bool last) {
  const int32_t four = _mm_cvtsi128_si32(pixel);
  std::memcpy(p, &four, last ? 3 : 4);
}

// Rows of RGB, two at once, one in each half of a register.
void TwoRows3(const senet_axis& x, const uint8_t* in_a, const uint8_t* in_b, uint8_t* out_a, uint8_t* out_b) {
  constexpr char kZero = -1;
  // Pixels 0 and 1, then 2 and 3, of 16 bytes: their reds, greens and blues side by side in 16 bits each.
  const __m256i first_two = _mm256_broadcastsi128_si256(
      _mm_setr_epi8(0, kZero, 3, kZero, 1, kZero, 4, kZero, 2, kZero, 5, kZero, kZero, kZero, kZero, kZero));
  const __m256i last_two = _mm256_broadcastsi128_si256(
      _mm_setr_epi8(6, kZero, 9, kZero, 7, kZero, 10, kZero, 8, kZero, 11, kZero, kZero, kZero, kZero, kZero));
  for (int i = 0; i < x.n; i++) {
    const int16_t* high = x.weights + 2 * static_cast<size_t>(i) * x.taps;
    const int16_t* low = high + x.taps;
    const size_t from = 3 * static_cast<size_t>(x.first[i]);
    Sum sum;
    for (int t = 0; t < x.taps; t += 4) {
      const __m256i pixels =
          _mm256_inserti128_si256(_mm256_castsi128_si256(Load(in_a + from + 3 * t)), Load(in_b + from + 3 * t), 1);
      sum.Add(_mm256_shuffle_epi8(pixels, first_two), Pair(high + t), Pair(low + t));
      sum.Add(_mm256_shuffle_epi8(pixels, last_two), Pair(high + t + 2), Pair(low + t + 2));
    }
    __m256i bytes = sum.Value();
    bytes = _mm256_packus_epi16(_mm256_packs_epi32(bytes, bytes), bytes);
    Store(out_a + 3 * i, _mm256_castsi256_si128(bytes), i + 1 == x.n);
    Store(out_b + 3 * i, _mm256_extracti128_si256(bytes, 1), i + 1 == x.n);
  }
}

// A row of grey: eight taps a step.
void Row1(const senet_axis& x, const uint8_t* in, uint8_t* out) {
  for (int i = 0; i < x.n; i++) {
    const int16_t* high = x.weights + 2 * static_cast<size_t>(i) * x.taps;
    const int16_t* low = high + x.taps;
    __m128i high_sum = _mm_setzero_si128(), low_sum = high_sum;
    for (int t = 0; t < x.taps; t += 8) {
      const __m128i pixels = _mm_cvtepu8_epi16(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(in + x.first[i] + t)));
      high_sum =
          _mm_add_epi32(high_sum, _mm_madd_epi16(pixels, _mm_loadu_si128(reinterpret_cast<const __m128i*>(high + t))));
      low_sum =
          _mm_add_epi32(low_sum, _mm_madd_epi16(pixels, _mm_loadu_si128(reinterpret_cast<const __m128i*>(low + t))));
    }
    __m128i sum = _mm_add_epi32(_mm_slli_epi32(high_sum, kSplit), low_sum);
    sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0x4e));
    sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0xb1));
    const int value = (_mm_cvtsi128_si32(sum) + (1 << (kFraction - 1))) >> kFraction;
    out[i] = static_cast<uint8_t>(value < 0 ? 0 : value > 255 ? 255 : value);
  }
}

}  // namespace

void senet_resample_rows(senet_axis x, int channels, int rows, const uint8_t* in, size_t in_stride, uint8_t* out) {
  const size_t out_stride = static_cast<size_t>(x.n) * channels;
  if (channels == 1) {
    for (int y = 0; y < rows; y++) Row1(x, in + y * in_stride, out + y * out_stride);
    return;
  }
  for (int y = 0; y < rows; y += 2) {
    const int second = y + 1 < rows ? y + 1 : y;
    TwoRows3(x, in + y * in_stride, in + second * in_stride, out + y * out_stride, out + second * out_stride);
  }
}

void senet_resample_columns(senet_axis y, size_t bytes, const uint8_t* in, size_t in_stride, uint8_t* out) {
  for (int i = 0; i < y.n; i++, out += bytes) {
    const int16_t* high = y.weights + 2 * static_cast<size_t>(i) * y.taps;
    const int16_t* low = high + y.taps;
    const uint8_t* top = in + y.first[i] * in_stride;
    for (size_t b = 0; b < bytes; b += 16) {
      Sum left, right;
      for (int t = 0; t < y.taps; t += 2) {
        const __m128i upper = Load(top + t * in_stride + b), lower = Load(top + (t + 1) * in_stride + b);
        const __m256i weights_high = Pair(high + t), weights_low = Pair(low + t);
        left.Add(_mm256_cvtepu8_epi16(_mm_unpacklo_epi8(upper, lower)), weights_high, weights_low);
        right.Add(_mm256_cvtepu8_epi16(_mm_unpackhi_epi8(upper, lower)), weights_high, weights_low);
      }
      // Packing works in halves of a register, which leaves the middle quarters swapped.
      const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(left.Value(), right.Value()), 0xd8);
      const __m128i packed = _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
      if (b + 16 <= bytes) {
        _mm_storeu_si128(reinterpret_cast<__m128i*>(out + b), packed);
      } else {
        std::memcpy(out + b, &packed, bytes - b);
      }
    }
  }
}
