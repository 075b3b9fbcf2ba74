// What senet_probe_cuda found; see probe.go.
#pragma once
#include <stddef.h>

enum { SENET_CUDA_MAX_DEVICES = 16 };

typedef struct {
  char name[128];
  int major, minor;  // compute capability
  size_t bytes;      // device memory
} senet_cuda_device;

typedef struct {
  int opened;         // libcuda.so.1 was found and has every function asked for
  int status;         // first CUresult that was not 0
  int version;        // cuDriverGetVersion: 12090 for 12.9
  int count;          // devices listed below
  char message[256];  // cuGetErrorString of status
  senet_cuda_device device[SENET_CUDA_MAX_DEVICES];
} senet_cuda_probe;

void senet_probe_cuda(senet_cuda_probe* p);
