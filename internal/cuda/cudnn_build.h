// Builds cuDNN's descriptors: shared by cudnn*.c.
#pragma once
#include "cudnn.h"
#include "cudnn_api.h"

typedef struct {
  const cudnn_api* api;
  senet_cudnn_error* e;
  int failed;        // after a failure, whose message is in *e, all calls but builder_free do nothing
  const char* what;  // the descriptor that is being built, for the message
  int count, capacity;
  cudnnBackendDescriptor_t* made;
} builder;

struct senet_cudnn {
  cudnn_api api;
  cudnnHandle_t handle;  // NULL: plans are for a device that is not there
  builder device;        // its properties
  cudnnBackendDescriptor_t properties;
};

builder builder_new(const cudnn_api* api, senet_cudnn_error* e);
// Destroys all descriptors but the first keep.
void builder_free(builder* b, int keep);

// A descriptor is built from one new_descriptor to one finish, without another's in between.
cudnnBackendDescriptor_t new_descriptor(builder* b, int type, const char* what);
void set(builder* b, cudnnBackendDescriptor_t d, int attribute, int type, int64_t count, const void* values);
void finish(builder* b, cudnnBackendDescriptor_t d);

void set_enum(builder* b, cudnnBackendDescriptor_t d, int attribute, int type, int value);
void set_int(builder* b, cudnnBackendDescriptor_t d, int attribute, int64_t value);
void set_descriptor(builder* b, cudnnBackendDescriptor_t d, int attribute, cudnnBackendDescriptor_t value);

// Reads at most capacity values and returns how many; with values NULL, how many there are.
int64_t get(builder* b, cudnnBackendDescriptor_t d, int attribute, int type, int64_t capacity, void* values);

int fail(senet_cudnn_error* e, const char* format, ...) __attribute__((format(printf, 2, 3)));
int fail_status(const cudnn_api* api, senet_cudnn_error* e, const char* what, int status);

enum {
  SENET_CUDNN_MAX_OPERANDS = 6,
};

// The operands that a convolution has, in the order of senet_cudnn_operands.
int operand_uids(const senet_cudnn_conv* conv, int64_t uids[SENET_CUDNN_MAX_OPERANDS]);
// Builds the operation graph of a convolution.
cudnnBackendDescriptor_t conv_graph(builder* b, const senet_cudnn* c, const senet_cudnn_conv* conv);
