// The driver API is opened with dlopen and only the queries are called: no context is made.
#include "probe.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

enum { COMPUTE_MAJOR = 75, COMPUTE_MINOR = 76 };  // CUdevice_attribute

typedef int (*init_fn)(unsigned);
typedef int (*int_out_fn)(int*);
typedef int (*device_get_fn)(int*, int);
typedef int (*name_fn)(char*, int, int);
typedef int (*attribute_fn)(int*, int, int);
typedef int (*memory_fn)(size_t*, int);
typedef int (*text_fn)(int, const char**);

static void probe_device(senet_cuda_device* d, int index, void* lib) {
  int handle = 0;
  ((device_get_fn)dlsym(lib, "cuDeviceGet"))(&handle, index);
  ((name_fn)dlsym(lib, "cuDeviceGetName"))(d->name, sizeof d->name, handle);
  attribute_fn attribute = (attribute_fn)dlsym(lib, "cuDeviceGetAttribute");
  attribute(&d->major, COMPUTE_MAJOR, handle);
  attribute(&d->minor, COMPUTE_MINOR, handle);
  ((memory_fn)dlsym(lib, "cuDeviceTotalMem_v2"))(&d->bytes, handle);
}

void senet_probe_cuda(senet_cuda_probe* p) {
  memset(p, 0, sizeof *p);
  void* lib = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (!lib) return;
  static const char* const needed[] = {
      "cuInit",          "cuDriverGetVersion",   "cuDeviceGetCount",    "cuDeviceGet",
      "cuDeviceGetName", "cuDeviceGetAttribute", "cuDeviceTotalMem_v2", "cuGetErrorString"};
  for (size_t i = 0; i < sizeof needed / sizeof *needed; i++)
    if (!dlsym(lib, needed[i])) return;
  p->opened = 1;
  ((int_out_fn)dlsym(lib, "cuDriverGetVersion"))(&p->version);
  p->status = ((init_fn)dlsym(lib, "cuInit"))(0);
  if (p->status == 0) p->status = ((int_out_fn)dlsym(lib, "cuDeviceGetCount"))(&p->count);
  if (p->status != 0) {
    const char* text = NULL;
    ((text_fn)dlsym(lib, "cuGetErrorString"))(p->status, &text);
    snprintf(p->message, sizeof p->message, "%s", text ? text : "unknown error");
    p->count = 0;
    return;
  }
  if (p->count > SENET_CUDA_MAX_DEVICES) p->count = SENET_CUDA_MAX_DEVICES;
  for (int i = 0; i < p->count; i++) probe_device(&p->device[i], i, lib);
}
