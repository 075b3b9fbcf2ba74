// The operation graph of a convolution: conv (+ bias) (* gate) (+ residual) (ReLU), or a gradient.
#include "cudnn_build.h"

#include <stdbool.h>

// Names of tensors within a graph. Virtual ones are never stored.
enum { INPUT = 1, WEIGHT, OUTPUT, BIAS, GATE, RESIDUAL, VIRTUAL };

typedef struct {
  int64_t d[4];
} shape;

static int data_type(int type) {
  static const int types[] = {CUDNN_DATA_FLOAT, CUDNN_DATA_BFLOAT16, CUDNN_DATA_HALF};
  return types[type];
}

// tensor is a dense (N, C, H, W) that lies as (N, H, W, C).
static cudnnBackendDescriptor_t tensor(builder* b, const char* what, int64_t uid, int type, shape s) {
  int64_t strides[4] = {s.d[1] * s.d[2] * s.d[3], 1, s.d[1] * s.d[3], s.d[1]};
  bool is_virtual = uid >= VIRTUAL;
  cudnnBackendDescriptor_t t = new_descriptor(b, CUDNN_BACKEND_TENSOR_DESCRIPTOR, what);
  set_enum(b, t, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, data_type(type));
  set(b, t, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, s.d);
  set(b, t, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, strides);
  set_int(b, t, CUDNN_ATTR_TENSOR_UNIQUE_ID, uid);
  set_int(b, t, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, SENET_CUDNN_ALIGNMENT);
  set(b, t, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &is_virtual);
  finish(b, t);
  return t;
}

static cudnnBackendDescriptor_t geometry(builder* b, const senet_cudnn_conv* c) {
  int64_t pads[2] = {c->pad, c->pad}, strides[2] = {c->stride, c->stride}, dilations[2] = {1, 1};
  cudnnBackendDescriptor_t d = new_descriptor(b, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, "convolution");
  set_int(b, d, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, 2);
  set_enum(b, d, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, CUDNN_DATA_FLOAT);
  set_enum(b, d, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, CUDNN_CROSS_CORRELATION);
  set(b, d, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, 2, pads);
  set(b, d, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, 2, pads);
  set(b, d, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, 2, strides);
  set(b, d, CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, 2, dilations);
  finish(b, d);
  return d;
}

// pointwise is to = from + operand or from * operand, or ReLU, where operand is NULL.
static cudnnBackendDescriptor_t pointwise(builder* b, const char* what, int mode, cudnnBackendDescriptor_t from,
                                          cudnnBackendDescriptor_t operand, cudnnBackendDescriptor_t to) {
  cudnnBackendDescriptor_t d = new_descriptor(b, CUDNN_BACKEND_POINTWISE_DESCRIPTOR, what);
  set_enum(b, d, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, mode);
  set_enum(b, d, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, CUDNN_DATA_FLOAT);
  if (!operand) set_enum(b, d, CUDNN_ATTR_POINTWISE_NAN_PROPAGATION, CUDNN_TYPE_NAN_PROPOGATION, CUDNN_PROPAGATE_NAN);
  finish(b, d);
  cudnnBackendDescriptor_t op = new_descriptor(b, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, what);
  set_descriptor(b, op, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, d);
  set_descriptor(b, op, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, from);
  if (operand) set_descriptor(b, op, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, operand);
  set_descriptor(b, op, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, to);
  finish(b, op);
  return op;
}

// The attributes of the operation of each kind, and its shapes.
typedef struct {
  int type, alpha, beta, geometry, input, weight, output;
} operation;

static const operation operations[] = {
    [SENET_CUDNN_FORWARD] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
                             CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
                             CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA,
                             CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
                             CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
                             CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y},
    [SENET_CUDNN_GRAD_INPUT] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
                                CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
                                CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA,
                                CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
                                CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
                                CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
                                CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX},
    [SENET_CUDNN_GRAD_WEIGHT] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
                                 CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
                                 CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA,
                                 CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
                                 CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
                                 CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
                                 CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW},
};

static cudnnBackendDescriptor_t convolve(builder* b, const operation* o, cudnnBackendDescriptor_t how,
                                         cudnnBackendDescriptor_t input, cudnnBackendDescriptor_t weight,
                                         cudnnBackendDescriptor_t output) {
  const float one = 1, zero = 0;
  cudnnBackendDescriptor_t op = new_descriptor(b, o->type, "operation of the convolution");
  set(b, op, o->alpha, CUDNN_TYPE_FLOAT, 1, &one);
  set(b, op, o->beta, CUDNN_TYPE_FLOAT, 1, &zero);
  set_descriptor(b, op, o->geometry, how);
  set_descriptor(b, op, o->input, input);
  set_descriptor(b, op, o->weight, weight);
  set_descriptor(b, op, o->output, output);
  finish(b, op);
  return op;
}

int operand_uids(const senet_cudnn_conv* conv, int64_t uids[SENET_CUDNN_MAX_OPERANDS]) {
  int count = 0;
  uids[count++] = INPUT;
  uids[count++] = WEIGHT;
  uids[count++] = OUTPUT;
  if (conv->bias) uids[count++] = BIAS;
  if (conv->gate) uids[count++] = GATE;
  if (conv->residual) uids[count++] = RESIDUAL;
  return count;
}

// A step of the epilogue.
typedef struct {
  int on, mode;
  const char* what;
  int64_t uid;  // of the operand; 0 without one
  int type;
  shape s;
} step;

// cuDNN has some 30 engines compiled ahead for conv + residual + bias, ReLU in this order with a bias of the type of maps;
// for another order or type, and with a gate, those that NVRTC compiles for each convolution.
cudnnBackendDescriptor_t conv_graph(builder* b, const senet_cudnn* c, const senet_cudnn_conv* v) {
  const shape x = {{v->n, v->c, v->h, v->w}}, w = {{v->k, v->c / v->groups, v->r, v->s}},
              y = {{v->n, v->k, v->p, v->q}};
  const shape shapes[][3] = {
      [SENET_CUDNN_FORWARD] = {x, w, y}, [SENET_CUDNN_GRAD_INPUT] = {y, w, x}, [SENET_CUDNN_GRAD_WEIGHT] = {y, x, w}};
  const shape* s = shapes[v->kind];
  cudnnBackendDescriptor_t input = tensor(b, "input", INPUT, v->input, s[0]);
  cudnnBackendDescriptor_t weight = tensor(b, "weight", WEIGHT, v->weight, s[1]);
  cudnnBackendDescriptor_t output = tensor(b, "output", OUTPUT, v->output, s[2]);
  cudnnBackendDescriptor_t from = output, how = geometry(b, v), ops[5];
  const step steps[] = {
      {v->residual && !v->gate, CUDNN_POINTWISE_ADD, "residual", RESIDUAL, v->output, s[2]},
      {v->bias, CUDNN_POINTWISE_ADD, "bias", BIAS, v->bias_type, {{1, v->k, 1, 1}}},
      {v->gate, CUDNN_POINTWISE_MUL, "gate", GATE, SENET_CUDNN_F32, {{v->n, v->k, 1, 1}}},
      {v->residual && v->gate, CUDNN_POINTWISE_ADD, "residual", RESIDUAL, v->output, s[2]},
      {v->relu, CUDNN_POINTWISE_RELU_FWD, "ReLU", 0, 0, {{0}}},
  };
  int left = v->residual + v->bias + v->gate + v->relu, count = 0;
  int64_t uid = VIRTUAL;
  if (left > 0) from = tensor(b, "product", uid++, SENET_CUDNN_F32, s[2]);
  ops[count++] = convolve(b, &operations[v->kind], how, input, weight, from);
  for (const step* t = steps; left > 0; t++) {
    if (!t->on) continue;
    cudnnBackendDescriptor_t operand = t->uid ? tensor(b, t->what, t->uid, t->type, t->s) : NULL;
    cudnnBackendDescriptor_t to = --left == 0 ? output : tensor(b, "sum", uid++, SENET_CUDNN_F32, s[2]);
    ops[count++] = pointwise(b, t->what, t->mode, from, operand, to);
    from = to;
  }
  cudnnBackendDescriptor_t g = new_descriptor(b, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, "operation graph");
  if (c->handle) set(b, g, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &c->handle);
  set(b, g, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, count, ops);
  finish(b, g);
  return g;
}
