// The vectorised loops around the convolutions. Every kernel takes one struct of arguments, is
// compiled for AVX2 and for AVX-512 (kernels_*.cpp) and chosen at run time (isa.cpp). Feature maps are
// NHWC float32, written below as (n, hw, c); threads are OpenMP's. Sums run in a fixed order, so
// results are bitwise the same in every run and for every number of threads.
#pragma once
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { SENET_AVX2 = 0, SENET_AVX512 = 1 };
// The best that this processor has and ONEDNN_MAX_CPU_ISA allows, which oneDNN goes by too; -1 without AVX2 and FMA.
int senet_isa_best(void);
void senet_isa_use(int isa);      // which one the kernels below run
void senet_threads(int threads);  // of the calling OS thread's OpenMP pool, oneDNN's included

// out (pixels, c) = image (pixels, c) * scale (c) + shift (c)
typedef struct {
  const uint8_t* image;
  float* out;
  const float *scale, *shift;
  int64_t pixels;
  int c;
} senet_normalize_args;

// What a call of the tail does. Over the images of several ranks it is made in two: the first ends in this rank's sums, the second
// goes on from those of all ranks, over the same scratch memory.
enum { SENET_TAIL_WHOLE = 0, SENET_TAIL_SUMS = 1, SENET_TAIL_REST = 2 };

// The block's tail and batch norm; see bn_se_add_relu.hpp. Null pointers switch parts off. SENET_TAIL_SUMS writes means and
// variances, which SENET_TAIL_REST reads.
typedef struct {
  int n, hw, c, r, relu, stage;
  float eps, shortcut_eps;
  const float *y, *shortcut;                                   // (n, hw, c)
  const float *gamma, *beta, *shortcut_gamma, *shortcut_beta;  // (c)
  const float *w1, *b1, *w2, *b2;                              // (r, c), (r), (c, r), (c)
  float* out;                                                  // (n, hw, c)
  float *mean, *var, *shortcut_mean, *shortcut_var;            // (c)
  float *image_mean, *hidden, *gate;                           // (n, c), (n, r), (n, c)
  void* scratch;                                               // senet_tail_scratch bytes
} senet_bn_se_add_relu_args;

// Scratch begins with sums (4, c) double: of dbeta, dgamma, and those of a projection. SENET_TAIL_SUMS writes them, with the
// gradients of all parameters, and SENET_TAIL_REST reads them.
typedef struct {
  int n, hw, c, r, relu, stage;
  float eps, shortcut_eps;
  const float *dout, *dout2, *out, *y, *shortcut;              // (n, hw, c)
  const float *gamma, *beta, *shortcut_gamma, *shortcut_beta;  // (c)
  const float *w1, *w2;                                        // (r, c), (c, r)
  const float *mean, *var, *shortcut_mean, *shortcut_var;      // (c)
  const float *image_mean, *hidden, *gate;                     // (n, c), (n, r), (n, c)
  float *dy, *dshortcut;                                       // (n, hw, c)
  float *dgamma, *dbeta, *dshortcut_gamma, *dshortcut_beta;    // (c)
  float *dw1, *db1, *dw2, *db2;                                // as the weights
  void* scratch;
} senet_bn_se_add_relu_grad_args;

int64_t senet_tail_scratch(int n, int hw, int c, int r);  // bytes, for the forward and the gradient

int64_t senet_sums_scratch(int n, int hw, int c);  // bytes, for sums over the pixels of each image

// Elementwise over count values.
typedef struct {
  const float *a, *b;
  float* out;
  int64_t count;
} senet_elementwise_args;
typedef senet_elementwise_args senet_relu_args;               // out = max(a, 0)
typedef senet_elementwise_args senet_relu_grad_args;          // out = a where b > 0
typedef senet_elementwise_args senet_sigmoid_args;            // out = 1 / (1 + exp(-a))
typedef senet_elementwise_args senet_sigmoid_grad_args;       // out = a b (1 - b)
typedef senet_elementwise_args senet_hard_sigmoid_args;       // out = min(max(a + 3, 0), 6) / 6
typedef senet_elementwise_args senet_hard_sigmoid_grad_args;  // out = a / 6 where 0 < b < 1
typedef senet_elementwise_args senet_tanh_args;               // out = tanh(a)
typedef senet_elementwise_args senet_tanh_grad_args;          // out = a (1 - b b)
typedef senet_elementwise_args senet_add_args;                // out = a + b

// out (n, hw, c) = x / (1 - rate) where graph.DropoutAttr.Dropped says no, else 0; the element's number is its logical one.
typedef struct {
  int n, hw, c;
  float rate;
  uint64_t seed;
  const int32_t* step;  // (1)
  const float* x;
  float* out;
} senet_dropout_args;

// Maps (pixels, c) of one batch, next to each other in whole (pixels, sum of c); a null map is left out.
typedef struct {
  float* map;
  int c;
} senet_concat_map;
typedef struct {
  int64_t pixels;
  int maps, c;
  const senet_concat_map* list;
  float* whole;
} senet_concat_args;
typedef senet_concat_args senet_concat_grad_args;  // from whole to the maps

// Between maps (n, hw, c) and per-image vectors (n, c).
typedef struct {
  int n, hw, c;
  const float *x, *dy, *gate;
  float *out, *dx, *dgate;
  void* scratch;  // senet_sums_scratch bytes
} senet_channel_args;
typedef senet_channel_args senet_global_avg_pool_args;       // out (n, c) = mean of x
typedef senet_channel_args senet_global_avg_pool_grad_args;  // dx = dy (n, c) / hw
typedef senet_channel_args senet_scale_args;                 // out = gate x
typedef senet_channel_args senet_scale_grad_args;            // dx = gate dy, dgate = sum dy x

// out (n, hw, c) = relu?(gate (n, c) x + shortcut); x may be out; null gate or shortcut: absent.
typedef struct {
  int n, hw, c, relu;
  const float *x, *gate, *shortcut;
  float* out;
} senet_gate_add_relu_args;

// y (n, c) = maximum over the pixels of x, pixel (n, c) the first that has it, null in inference.
typedef struct {
  int n, hw, c;
  const float* x;
  float* y;
  int32_t* pixel;
} senet_global_max_pool_args;
typedef struct {
  int n, hw, c;
  const float* dy;       // (n, c)
  const int32_t* pixel;  // (n, c)
  float* dx;
} senet_global_max_pool_grad_args;

// Average pooling, from (n, h, w, c) to (n, p, q, c) or, for the gradient, back.
typedef struct {
  int n, h, w, c, p, q, kernel, stride, pad;
  const float* in;
  float* out;
} senet_avg_pool_args;
typedef senet_avg_pool_args senet_avg_pool_grad_args;

// Max pooling; position (n, p, q, c) is r * kernel + s of the first maximum, null in inference.
typedef struct {
  int n, h, w, c, p, q, kernel, stride, pad;
  const float* x;
  float* y;
  uint8_t* position;
} senet_max_pool_args;
typedef struct {
  int n, h, w, c, p, q, kernel, stride, pad;
  const float* dy;
  const uint8_t* position;
  float* dx;
} senet_max_pool_grad_args;

// Loss over logits (n, k); labels (n), -1 rows ignored. mixed (n) and share (n) are null without mixing.
typedef struct {
  int n, k, sum_classes;
  float smoothing, threshold;
  const int32_t* mixed;
  const float* share;
  const float *logits, *probabilities, *loss_scale;  // (n, k) and (1), null for 1
  const int32_t* labels;
  float *loss, *out;  // (1); (n, k) probabilities, or dlogits
  int32_t* correct;   // (3)
  void* scratch;      // n doubles
} senet_loss_args;
typedef senet_loss_args senet_softmax_cross_entropy_args;
typedef senet_loss_args senet_softmax_cross_entropy_grad_args;
typedef senet_loss_args senet_binary_cross_entropy_args;
typedef senet_loss_args senet_binary_cross_entropy_grad_args;
typedef senet_loss_args senet_accuracy_args;

// out (n, k) = mean over pixels of conv(x (n, h, w, c), weight (k, c, r, s)) + bias (k).
typedef struct {
  int n, h, w, c, k, r, s, p, q, stride, pad;
  const float *x, *weight, *bias;
  float* out;
  void* scratch;  // senet_early_squeeze_scratch bytes
} senet_early_squeeze_args;
int64_t senet_early_squeeze_scratch(int n, int hw, int c, int window);  // hw pixels of x, r * s

enum { SENET_WINOGRAD_CHANNELS = 4096 };  // at most, of either map
// A 3x3 convolution of stride 1 and padding 1 by Winograd's algorithm; see winograd_conv.hpp and winograd_grad_weight.hpp.
typedef struct {
  int n, h, w, c, k, flip, relu, threads;
  const float *x, *weight;              // (n, h, w, c), (3, 3, c, k) or with flip (3, 3, k, c)
  const float *bias, *gate, *residual;  // (k), (n, k), (n, h, w, k); null: absent
  float* y;                             // (n, h, w, k)
  void* scratch;                        // senet_winograd_conv_scratch bytes
} senet_winograd_conv_args;
int64_t senet_winograd_conv_scratch(int n, int h, int w, int c, int k, int threads);
typedef struct {
  int n, h, w, c, k, threads;
  const float *x, *dy;  // (n, h, w, c), (n, h, w, k)
  float* dw;            // (3, 3, c, k)
  void* scratch;        // senet_winograd_grad_weight_scratch bytes
} senet_winograd_grad_weight_args;
int64_t senet_winograd_grad_weight_scratch(int n, int h, int w, int c, int k, int threads);

// The gradient of a convolution's weight by products of matrices; see conv_grad_weight.hpp.
typedef struct {
  int n, h, w, c, k, r, s, p, q, stride, pad, threads;
  const float *x, *dy;  // (n, h, w, c), (n, p, q, k)
  float* dw;            // (r, s, c, k)
  void* scratch;        // senet_conv_grad_weight_scratch bytes
} senet_conv_grad_weight_args;
// pixels is n p q.
int64_t senet_conv_grad_weight_scratch(int64_t pixels, int c, int k, int r, int s, int threads);

// out (n, c) = sigmoid(w2 relu(h (n, r)) + b2)
typedef struct {
  int n, c, r;
  const float *h, *w2, *b2;
  float* out;
  void* scratch;  // n * r floats
} senet_excitation_args;

// folded weight (k, per) = weight gamma / sqrt(var + eps); bias (k) = beta - mean gamma / sqrt(var + eps)
typedef struct {
  int k, per;
  float eps;
  const float *weight, *gamma, *beta, *mean, *var;
  float *out, *bias;
} senet_fold_bn_args;

// out (j, groups per) = w1 (j, k) a weight (k, per), bias (j) = w1 (beta - a mean) + b1 with a = gamma / sqrt(var + eps); per inputs of a
// filter over its window, each group of filters making its own stretch of out.
typedef struct {
  int j, k, per, groups;
  float eps;
  const float *weight, *gamma, *beta, *mean, *var, *w1, *b1;
  float *out, *bias;
  void* scratch;  // j * k floats
} senet_fold_squeeze_args;

// sums (n) of each column of a (m, n)
typedef struct {
  int m, n;
  const float* a;
  float* sums;
} senet_column_sums_args;

// running (c) += momentum (batch - running); the variance is made unbiased
typedef struct {
  int c;
  float momentum, unbias;
  const float *mean, *var;
  float *running_mean, *running_var;
} senet_running_stats_args;

// One parameter with what moves it: momentum is Adam's exp_avg, variance its exp_avg_sq.
typedef struct {
  float *param, *momentum, *variance;
  const float* grad;
  int64_t count;
  int decay;
} senet_parameter;

// What gradients are multiplied by: one over the loss scale, and less where their norm is above clip.
typedef struct {
  const float *loss_scale, *norm;  // (1), null for 1 and for no clipping
  float clip;
} senet_gradient_factor;

typedef struct {
  int tensors, nesterov;
  float momentum, weight_decay;
  const float* learning_rate;  // (1)
  senet_gradient_factor factor;
  const senet_parameter* parameters;
} senet_sgd_args;

typedef struct {
  int tensors;
  double beta1, beta2;
  float eps, weight_decay;
  const float* learning_rate;  // (1)
  senet_gradient_factor factor;
  float* step;  // (1)
  const senet_parameter* parameters;
  void* scratch;  // lamb: 2 * senet_norm_blocks(count) doubles, summed over tensors
} senet_adam_args;
typedef senet_adam_args senet_adamw_args;
typedef senet_adam_args senet_lamb_args;

// One tensor that follows another of count floats, which may lie in any order if both lie alike.
typedef struct {
  float* to;
  const float* from;
  int64_t count;
} senet_follower;

typedef struct {
  int tensors;
  const float* loss_scale;  // (1), null for 1
  float* steps;             // (1)
  const senet_follower* followers;
} senet_grad_sum_args;

typedef struct {
  int tensors;
  const senet_follower* followers;  // from is null
} senet_clear_args;

typedef struct {
  int tensors;
  float weight;  // of the value, 1 - decay
  const senet_follower* followers;
} senet_ema_args;

typedef struct {
  int tensors;
  float weight;
  const senet_follower* followers;
} senet_all_reduce_args;

typedef struct {
  int tensors;
  const senet_parameter* parameters;  // grad and count are read
  const float* loss_scale;            // (1), null for 1
  float* norm;                        // (1)
  void* scratch;                      // senet_norm_blocks(count) doubles, summed over tensors
} senet_global_norm_args;
int64_t senet_norm_blocks(int64_t count);

// Every kernel, for isa.cpp and the two builds.
// clang-format off
#define SENET_KERNELS(K)                                                                                 \
  K(normalize) K(bn_se_add_relu) K(bn_se_add_relu_grad) K(relu) K(relu_grad) K(sigmoid) K(sigmoid_grad)  \
  K(hard_sigmoid) K(hard_sigmoid_grad) K(tanh) K(tanh_grad) K(dropout) K(add) K(concat) K(concat_grad)   \
  K(global_avg_pool) K(global_avg_pool_grad) K(global_max_pool) K(global_max_pool_grad) K(avg_pool)      \
  K(avg_pool_grad) K(max_pool) K(max_pool_grad) K(scale) K(scale_grad) K(gate_add_relu)                  \
  K(softmax_cross_entropy) K(softmax_cross_entropy_grad) K(binary_cross_entropy) K(binary_cross_entropy_grad) K(accuracy) K(early_squeeze) K(excitation)      \
  K(fold_bn) K(fold_squeeze) K(column_sums) K(running_stats) K(sgd) K(adamw) K(lamb) K(grad_sum) K(clear) K(ema)         \
  K(global_norm) K(all_reduce) K(winograd_conv) K(winograd_grad_weight) K(conv_grad_weight)
// clang-format on

#define SENET_DECLARE(name) void senet_##name(const senet_##name##_args* a);
SENET_KERNELS(SENET_DECLARE)
#undef SENET_DECLARE

#ifdef __cplusplus
}
#endif
