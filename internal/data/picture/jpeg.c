#include "jpeg.h"

#include <setjmp.h>
#include <stdio.h>  // jpeglib.h needs it
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>
#include <jerror.h>

// One picture being decoded. libjpeg's state is not kept for the next one, which would then pass with tables that it lacks.
typedef struct {
  struct jpeg_decompress_struct info;
  struct jpeg_error_mgr errors;
  jmp_buf back;
  int status;
  senet_jpeg_part* part;
} decoding;

static void stop(decoding* d, int status, const char* message) {
  snprintf(d->part->message, sizeof d->part->message, "%s", message);
  d->status = status;
  longjmp(d->back, 1);
}

static void fail(j_common_ptr info) {
  char message[JMSG_LENGTH_MAX];
  info->err->format_message(info, message);
  stop(info->client_data, SENET_JPEG_BAD, message);
}

// libjpeg warns and makes up the rest of the pixels where the data ends too early. Its other warnings concern what
// every decoder takes, such as stray bytes between segments.
static void warn(j_common_ptr info, int level) {
  if (level >= 0 || (info->err->msg_code != JWRN_JPEG_EOF && info->err->msg_code != JWRN_HIT_MARKER)) return;
  decoding* d = info->client_data;
  char message[64];
  snprintf(message, sizeof message, "its data ends in block row %u of %u", d->info.input_iMCU_row + 1,
           d->info.total_iMCU_rows);
  stop(d, SENET_JPEG_TRUNCATED, message);
}

static void silent(j_common_ptr info) { (void)info; }

// rgb_of_inverted_cmyk turns a row of n pixels of 4 bytes into one of 3 in place, as Pillow's convert("RGB") does.
static void rgb_of_inverted_cmyk(uint8_t* row, size_t n) {
  for (size_t i = 0; i < n; i++) {
    unsigned white = row[4 * i + 3];
    for (size_t c = 0; c < 3; c++) {
      unsigned product = (255 - row[4 * i + c]) * white + 128;  // divided by 255, rounded:
      row[3 * i + c] = (uint8_t)(white - ((product + (product >> 8)) >> 8));
    }
  }
}

// read_all decodes every row and keeps none.
static void read_all(struct jpeg_decompress_struct* info) {
  JDIMENSION bytes = info->output_width * info->output_components;
  JSAMPARRAY row = info->mem->alloc_sarray((j_common_ptr)info, JPOOL_IMAGE, bytes, 1);
  while (info->output_scanline < info->output_height) jpeg_read_scanlines(info, row, 1);
}

// read_part decodes the rows and columns of the part.
static void read_part(decoding* d, uint8_t* pixels, size_t capacity) {
  struct jpeg_decompress_struct* info = &d->info;
  senet_jpeg_part* part = d->part;
  // Smooth upsampling blends neighbours, which the first and last column of what is cropped lack.
  JDIMENSION left = part->x > 0 ? part->x - 1 : 0;
  JDIMENSION width = part->x + part->w + 2;
  if (width > info->output_width) width = info->output_width;
  width -= left;
  if (width < info->output_width) jpeg_crop_scanline(info, &left, &width);
  size_t components = info->output_components;
  part->channels = components == 1 ? 1 : 3;
  part->stride = width * components;
  part->first = (part->x - left) * part->channels;
  if (part->stride * part->h > capacity) stop(d, SENET_JPEG_BAD, "the part does not fit its buffer");
  if (part->y > 0) jpeg_skip_scanlines(info, part->y);
  for (int y = 0; y < part->h;) {
    JSAMPROW rows[16];
    int want = part->h - y < 16 ? part->h - y : 16;
    for (int i = 0; i < want; i++) rows[i] = pixels + (y + i) * part->stride;
    int got = (int)jpeg_read_scanlines(info, rows, want);
    if (got == 0) stop(d, SENET_JPEG_BAD, "libjpeg gives no rows");
    if (components == 4)
      for (int i = 0; i < got; i++) rgb_of_inverted_cmyk(rows[i], width);
    y += got;
  }
}

// start reads the header and makes ready to read rows.
static void start(decoding* d, const uint8_t* data, size_t size) {
  struct jpeg_decompress_struct* info = &d->info;
  jpeg_create_decompress(info);
  jpeg_mem_src(info, data, size);
  jpeg_read_header(info, TRUE);
  if ((int)info->image_width != d->part->width || (int)info->image_height != d->part->height)
    stop(d, SENET_JPEG_BAD, "libjpeg reads another size from its header");
  if (info->num_components == 2 || info->num_components > 4)
    stop(d, SENET_JPEG_BAD, "its colours have neither 1, 3 nor 4 components");
  info->scale_num = 1;
  info->scale_denom = d->part->reduce;
  info->dct_method = JDCT_ISLOW;
  info->do_fancy_upsampling = TRUE;
  if (info->num_components == 4) info->out_color_space = JCS_CMYK;
  jpeg_start_decompress(info);
}

int senet_jpeg_decode(const uint8_t* data, size_t size, uint8_t* pixels, size_t capacity, senet_jpeg_part* part) {
  decoding d = {.part = part, .status = SENET_JPEG_OK};
  d.info.client_data = &d;
  d.info.err = jpeg_std_error(&d.errors);
  d.errors.error_exit = fail;
  d.errors.emit_message = warn;
  d.errors.output_message = silent;
  if (!setjmp(d.back)) {
    start(&d, data, size);
    if (part->h == 0) {
      read_all(&d.info);
    } else {
      read_part(&d, pixels, capacity);
    }
  }
  jpeg_destroy_decompress(&d.info);
  return d.status;
}
