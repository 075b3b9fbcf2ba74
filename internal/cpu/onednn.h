// A thin C border around oneDNN 3.2 (dnnl.hpp): engine and stream, weight layouts, and the
// primitives senet uses. Activations are NHWC float32. Functions return NULL or a message that
// stays valid until the thread's next call; no exception crosses the border.
#pragma once
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct senet_engine senet_engine;        // engine and in-order stream
typedef struct senet_layout senet_layout;        // memory layout of one convolution weight
typedef struct senet_primitive senet_primitive;  // a prepared primitive with its memories

// A convolution's geometry: x (n, c, h, w), weight (k, c/groups, r, s), y (n, k, p, q).
typedef struct {
  int n, c, h, w, k, r, s, p, q;
  int stride, pad, groups;
} senet_conv_shape;

const char* senet_onednn_version(void);  // "3.2.0"
const char* senet_engine_new(senet_engine** out);
void senet_engine_free(senet_engine* e);

const char* senet_layout_plain(const senet_conv_shape* s, senet_layout** out);  // (k, c/groups, r, s), dense
const char* senet_layout_taps(const senet_conv_shape* s, senet_layout** out);   // (r, s, c, k), dense, of one group
size_t senet_layout_bytes(const senet_layout* l);
int senet_layout_equal(const senet_layout* a, const senet_layout* b);
// What tells l from other layouts; valid until the thread's next call.
const char* senet_layout_describe(const senet_layout* l);
void senet_layout_free(senet_layout* l);
// Copies src in layout from to dst in layout to; prepares the copy each time, so it has no place in a step.
const char* senet_layout_copy(senet_engine* e, const senet_layout* from, const float* src, const senet_layout* to,
                              float* dst);

// Epilogue of a forward convolution: y = relu?(gate (1, k) (conv + bias (k)) + residual (n, k, p, q)), the gate for one image.
enum { SENET_CONV_BIAS = 1, SENET_CONV_RESIDUAL = 2, SENET_CONV_RELU = 4, SENET_CONV_GATE = 8 };

// The constructors of convolutions set *weight to the layout that oneDNN likes best for it; the caller frees both.
// conv: arguments x, weight, y, then bias, gate, residual as far as the epilogue has them.
const char* senet_conv_new(senet_engine* e, const senet_conv_shape* s, int epilogue, senet_layout** weight,
                           senet_primitive** out);
// conv_grad_input: arguments dy, weight, dx.
const char* senet_conv_grad_input_new(senet_engine* e, const senet_conv_shape* s, senet_layout** weight,
                                      senet_primitive** out);
// conv_grad_weight: arguments dy, dw, x, then db if with_bias.
const char* senet_conv_grad_weight_new(senet_engine* e, const senet_conv_shape* s, int with_bias, senet_layout** weight,
                                       senet_primitive** out);
// Copies a weight from layout from to layout to; arguments src, dst.
const char* senet_reorder_new(senet_engine* e, const senet_layout* from, const senet_layout* to, senet_primitive** out);
// c (m, n) = op(a) (m, k) * op(b) (k, n) + bias (n); a trans flag says the matrix is stored transposed. Arguments a, b, c, bias.
const char* senet_matmul_new(senet_engine* e, int m, int k, int n, int trans_a, int trans_b, int with_bias,
                             senet_primitive** out);

size_t senet_primitive_scratch(const senet_primitive* p);    // bytes of workspace a run needs
const char* senet_primitive_name(const senet_primitive* p);  // oneDNN's implementation, e.g. "brgconv:avx512_core"
// Sets the addresses of the arguments and the workspace for all runs to come.
const char* senet_primitive_bind(senet_primitive* p, void** args, void* scratch);
const char* senet_primitive_run(senet_engine* e, senet_primitive* p);
void senet_primitive_free(senet_primitive* p);

#ifdef __cplusplus
}
#endif
