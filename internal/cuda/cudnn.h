// Convolutions of cuDNN 9, opened at run time: what cudnn.go sees of it. Maps lie as (N, H, W, C) and weights as
// (K, R, S, C/groups), each dense; sums are float32. Functions return 0, or else put a message into *e. A handle and
// all that was made with it belong to one thread at a time.
#pragma once
#include <stddef.h>
#include <stdint.h>

typedef struct senet_cudnn senet_cudnn;            // the library with a handle on a device
typedef struct senet_cudnn_plan senet_cudnn_plan;  // a convolution that an engine is ready to run
typedef struct senet_cudnn_run senet_cudnn_run;    // a plan with the addresses of its operands

typedef struct {
  char text[1024];
} senet_cudnn_error;

enum { SENET_CUDNN_F32, SENET_CUDNN_BF16, SENET_CUDNN_F16 };  // types of elements

enum { SENET_CUDNN_FORWARD, SENET_CUDNN_GRAD_INPUT, SENET_CUDNN_GRAD_WEIGHT };  // kinds of convolutions

// A convolution of x (n, c, h, w) with w (k, c/groups, r, s) to y (n, k, p, q), or a gradient of one.
typedef struct {
  int kind;
  int64_t n, c, h, w, k, r, s, p, q, stride, pad, groups;
  int input, weight, output;  // element types of x or dy; of w, or of x for GRAD_WEIGHT; of y, dx or dw
  // The forward's epilogue relu?(gate (n, k) * (conv + bias (k)) + residual (n, k, p, q)): 1 for what it has.
  int bias, gate, residual, relu;
  int bias_type;  // the residual's is output, the gate's float32
} senet_cudnn_conv;

enum {
  SENET_CUDNN_KNOBS = 64,
  SENET_CUDNN_ALIGNMENT = 16,  // bytes: of every operand
};

// One way to run a convolution: an implementation with its settings. The notes tell of it, and choose nothing.
typedef struct {
  int64_t index;
  int knobs;
  struct {
    int type;
    int64_t value;
  } knob[SENET_CUDNN_KNOBS];
  uint32_t notes;     // bit i: cudnnBackendNumericalNote_t i
  uint32_t behavior;  // bit i: cudnnBackendBehaviorNote_t i
} senet_cudnn_engine;

enum { SENET_CUDNN_COMPILED = 1 << 0 };  // bit of behavior: NVRTC compiles it, for a second or so

enum {  // bits of notes
  SENET_CUDNN_TENSOR_CORE = 1 << 0,
  SENET_CUDNN_DOWN_CONVERT = 1 << 1,
  SENET_CUDNN_REDUCED_PRECISION = 1 << 2,
  SENET_CUDNN_NONDETERMINISTIC = 1 << 4,
};

// Opens the library at path and tells its version as major*10000 + minor*100 + patch.
int senet_cudnn_version(const char* path, size_t* version, senet_cudnn_error* e);
// Opens the library at path with a handle on the current context that launches on stream. Where properties is not NULL
// it describes a device that need not be there, in the JSON of CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION: then there is
// no handle, and plans can be made but not run.
int senet_cudnn_open(const char* path, uint64_t stream, const char* properties, senet_cudnn** out,
                     senet_cudnn_error* e);
int senet_cudnn_close(senet_cudnn* c, senet_cudnn_error* e);

// Lists the engines that cuDNN expects to be the fastest for a convolution, best first, at most capacity; with
// fallback those that may be slow but take most convolutions.
int senet_cudnn_engines(senet_cudnn* c, const senet_cudnn_conv* conv, int fallback, senet_cudnn_engine* engines,
                        int capacity, int* count, senet_cudnn_error* e);

// Prepares an engine; *workspace is the bytes of workspace that a run needs.
int senet_cudnn_plan_new(senet_cudnn* c, const senet_cudnn_conv* conv, const senet_cudnn_engine* engine,
                         senet_cudnn_plan** out, int64_t* workspace, senet_cudnn_error* e);
void senet_cudnn_plan_free(senet_cudnn_plan* p);

// Addresses on the device of a convolution's operands; 0 for a bias, gate or residual that it has not.
typedef struct {
  uint64_t input, weight, output, bias, gate, residual;
} senet_cudnn_operands;

int senet_cudnn_run_new(senet_cudnn_plan* p, const senet_cudnn_operands* o, uint64_t workspace, senet_cudnn_run** out,
                        senet_cudnn_error* e);
// Launches on the handle's stream.
int senet_cudnn_run_now(senet_cudnn_run* r, senet_cudnn_error* e);
void senet_cudnn_run_free(senet_cudnn_run* r);
