// Opens the library and builds descriptors.
#define _GNU_SOURCE  // dladdr
#include "cudnn_build.h"

#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "library.h"

int fail(senet_cudnn_error* e, const char* format, ...) {
  va_list args;
  va_start(args, format);
  vsnprintf(e->text, sizeof e->text, format, args);
  va_end(args);
  return 1;
}

int fail_status(const cudnn_api* api, senet_cudnn_error* e, const char* what, int status) {
  char detail[sizeof e->text - 200] = "";
  api->GetLastErrorString(detail, sizeof detail);
  detail[sizeof detail - 1] = 0;
  const char* name = api->GetErrorString(status);
  return fail(e, "%s: %s (%d)%s%s", what, name ? name : "unknown status", status, *detail ? ": " : "", detail);
}

// cuDNN 9 opens cuBLASLt when its heuristic is first asked, and aborts the process if it is not there. So it is opened
// here: by its name, beside cuDNN, or from where NVIDIA's Python packages put it, those for CUDA 12 and from 13 on.
static int load_cublas(const cudnn_api* api, senet_cudnn_error* e) {
  const int cuda = (int)(api->GetCudartVersion() / 1000);
  char name[64], own[64], path[4096];
  snprintf(name, sizeof name, "libcublasLt.so.%d", cuda);
  snprintf(own, sizeof own, "../../cu%d/lib/", cuda);
  const char* const folders[] = {"", "../../cublas/lib/", own};
  if (dlopen(name, RTLD_LAZY | RTLD_LOCAL)) return 0;
  Dl_info info;
  void* inside;
  memcpy(&inside, &api->GetVersion, sizeof inside);
  const char* slash = dladdr(inside, &info) && info.dli_fname ? strrchr(info.dli_fname, '/') : NULL;
  for (size_t i = 0; slash && i < sizeof folders / sizeof *folders; i++) {
    snprintf(path, sizeof path, "%.*s/%s%s", (int)(slash - info.dli_fname), info.dli_fname, folders[i], name);
    if (dlopen(path, RTLD_LAZY | RTLD_LOCAL)) return 0;
  }
  return fail(e, "%s of cuBLAS, which it needs, was not found", name);
}

static int check_version(const char* path, size_t v, senet_cudnn_error* e) {
  if (v >= 90000) return 0;  // major*10000 + minor*100 + patch; before, major*1000 + minor*100 + patch
  return fail(e, "%s is cuDNN %zu.%zu.%zu, which is too old: senet needs 9.0 or newer", path, v / 1000, v % 1000 / 100,
              v % 100);
}

static int load(const char* path, cudnn_api* api, senet_cudnn_error* e) {
  void* library = library_open(path, e->text, sizeof e->text);
  if (!library) return 1;
  const library_function functions[] = {
      {"cudnnGetVersion", &api->GetVersion, 0},
      {"cudnnGetCudartVersion", &api->GetCudartVersion, 0},
      {"cudnnGetErrorString", &api->GetErrorString, 0},
      {"cudnnGetLastErrorString", &api->GetLastErrorString, 0},
      {"cudnnCreate", &api->Create, 0},
      {"cudnnDestroy", &api->Destroy, 0},
      {"cudnnSetStream", &api->SetStream, 0},
      {"cudnnBackendCreateDescriptor", &api->BackendCreateDescriptor, 0},
      {"cudnnBackendDestroyDescriptor", &api->BackendDestroyDescriptor, 0},
      {"cudnnBackendSetAttribute", &api->BackendSetAttribute, 0},
      {"cudnnBackendGetAttribute", &api->BackendGetAttribute, 0},
      {"cudnnBackendFinalize", &api->BackendFinalize, 0},
      {"cudnnBackendExecute", &api->BackendExecute, 0},
  };
  const size_t count = sizeof functions / sizeof *functions;
  // The functions of old versions are others, so the version comes first.
  return library_find(library, path, functions, 1, e->text, sizeof e->text) ||
         check_version(path, api->GetVersion(), e) ||
         library_find(library, path, functions + 1, count - 1, e->text, sizeof e->text) || load_cublas(api, e);
}

int senet_cudnn_version(const char* path, size_t* version, senet_cudnn_error* e) {
  cudnn_api api;
  if (load(path, &api, e)) return 1;
  *version = api.GetVersion();
  return 0;
}

int senet_cudnn_open(const char* path, uint64_t stream, const char* properties, senet_cudnn** out,
                     senet_cudnn_error* e) {
  senet_cudnn* c = calloc(1, sizeof *c);
  if (!c) return fail(e, "out of memory");
  if (load(path, &c->api, e)) {
    free(c);
    return 1;
  }
  c->device = builder_new(&c->api, e);
  int status = CUDNN_STATUS_SUCCESS;
  if (properties) {
    c->properties = new_descriptor(&c->device, CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, "properties of the device");
    set(&c->device, c->properties, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR,
        (int64_t)strlen(properties) + 1, properties);
    finish(&c->device, c->properties);
  } else if ((status = c->api.Create(&c->handle)) != CUDNN_STATUS_SUCCESS) {
    c->handle = NULL;
    fail_status(&c->api, e, "create a handle", status);
  } else if ((status = c->api.SetStream(c->handle, (void*)(uintptr_t)stream)) != CUDNN_STATUS_SUCCESS) {
    fail_status(&c->api, e, "set the stream", status);
  }
  if (c->device.failed || status != CUDNN_STATUS_SUCCESS) {
    senet_cudnn_error ignored;
    senet_cudnn_close(c, &ignored);
    return 1;
  }
  c->device.e = NULL;
  *out = c;
  return 0;
}

int senet_cudnn_close(senet_cudnn* c, senet_cudnn_error* e) {
  int failed = 0;
  builder_free(&c->device, 0);
  if (c->handle) {
    int status = c->api.Destroy(c->handle);
    if (status != CUDNN_STATUS_SUCCESS) failed = fail_status(&c->api, e, "destroy the handle", status);
  }
  free(c);
  return failed;
}

builder builder_new(const cudnn_api* api, senet_cudnn_error* e) { return (builder){.api = api, .e = e}; }

void builder_free(builder* b, int keep) {
  while (b->count > keep) b->api->BackendDestroyDescriptor(b->made[--b->count]);
  if (keep > 0) return;
  free(b->made);
  b->made = NULL;
  b->capacity = 0;
}

static int reserve(builder* b) {
  if (b->count < b->capacity) return 0;
  int capacity = b->capacity ? 2 * b->capacity : 32;
  void* made = realloc(b->made, (size_t)capacity * sizeof *b->made);
  if (!made) return b->failed = fail(b->e, "%s: out of memory", b->what);
  b->made = made;
  b->capacity = capacity;
  return 0;
}

static void check(builder* b, const char* call, int status) {
  if (status == CUDNN_STATUS_SUCCESS) return;
  char what[160];
  snprintf(what, sizeof what, "%s: %s", b->what, call);
  b->failed = fail_status(b->api, b->e, what, status);
}

cudnnBackendDescriptor_t new_descriptor(builder* b, int type, const char* what) {
  if (b->failed) return NULL;
  b->what = what;
  if (reserve(b)) return NULL;
  cudnnBackendDescriptor_t d = NULL;
  check(b, "create", b->api->BackendCreateDescriptor(type, &d));
  if (b->failed) return NULL;
  b->made[b->count++] = d;
  return d;
}

void set(builder* b, cudnnBackendDescriptor_t d, int attribute, int type, int64_t count, const void* values) {
  if (b->failed) return;
  char call[64];
  snprintf(call, sizeof call, "set attribute %d", attribute);
  check(b, call, b->api->BackendSetAttribute(d, attribute, type, count, values));
}

void finish(builder* b, cudnnBackendDescriptor_t d) {
  if (!b->failed) check(b, "finalize", b->api->BackendFinalize(d));
}

void set_enum(builder* b, cudnnBackendDescriptor_t d, int attribute, int type, int value) {
  set(b, d, attribute, type, 1, &value);
}

void set_int(builder* b, cudnnBackendDescriptor_t d, int attribute, int64_t value) {
  set(b, d, attribute, CUDNN_TYPE_INT64, 1, &value);
}

void set_descriptor(builder* b, cudnnBackendDescriptor_t d, int attribute, cudnnBackendDescriptor_t value) {
  set(b, d, attribute, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &value);
}

int64_t get(builder* b, cudnnBackendDescriptor_t d, int attribute, int type, int64_t capacity, void* values) {
  if (b->failed) return 0;
  int64_t count = 0;
  char call[64];
  snprintf(call, sizeof call, "get attribute %d", attribute);
  check(b, call, b->api->BackendGetAttribute(d, attribute, type, capacity, &count, values));
  if (b->failed) return 0;
  return values && count > capacity ? capacity : count;
}
