// Decoding of a part of a JPEG by libjpeg-turbo.
#pragma once
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { SENET_JPEG_OK, SENET_JPEG_TRUNCATED, SENET_JPEG_BAD };

typedef struct {
  int width, height;  // of the picture, as its header has been read
  int reduce;         // 1, 2, 4 or 8: the picture is decoded at 1/reduce of its size, rounded up
  int x, y, w, h;     // the wanted part of the reduced picture; h = 0 reads the whole file and keeps nothing
  size_t stride;      // out: bytes from one row to the next
  size_t first;       // out: where the part starts in the pixels
  int channels;       // out: 1 for grey or 3 for RGB
  char message[256];  // out: what is wrong, unless SENET_JPEG_OK is returned
} senet_jpeg_part;

// senet_jpeg_decode decodes a part, with some columns beside it, into pixels of so many bytes. It is what it would be in
// the whole picture: accurate DCT, smooth upsampling of chroma. CMYK is taken as Adobe's inverted and turned to RGB.
// Returns a SENET_JPEG status.
int senet_jpeg_decode(const uint8_t* data, size_t size, uint8_t* pixels, size_t capacity, senet_jpeg_part* part);

#ifdef __cplusplus
}
#endif
