// The few functions of NVRTC that compiling takes, by their published signatures (nvrtc.h of CUDA 12).
#include "compiler.h"

#include <dlfcn.h>
#include <stdlib.h>

typedef struct program program;

static struct {
  int (*version)(int*, int*);
  const char* (*status)(int);
  int (*create)(program**, const char*, const char*, int, const char* const*, const char* const*);
  int (*compile)(program*, int, const char* const*);
  int (*destroy)(program**);
  int (*log_size)(program*, size_t*);
  int (*log)(program*, char*);
  int (*cubin_size)(program*, size_t*);
  int (*cubin)(program*, char*);
  int (*ptx_size)(program*, size_t*);
  int (*ptx)(program*, char*);
} nvrtc;

const char* senet_nvrtc_open(const char* path) {
  void* lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!lib) return dlerror();
  struct {
    void** to;
    const char* name;
  } const functions[] = {
      {(void**)&nvrtc.version, "nvrtcVersion"},
      {(void**)&nvrtc.status, "nvrtcGetErrorString"},
      {(void**)&nvrtc.create, "nvrtcCreateProgram"},
      {(void**)&nvrtc.compile, "nvrtcCompileProgram"},
      {(void**)&nvrtc.destroy, "nvrtcDestroyProgram"},
      {(void**)&nvrtc.log_size, "nvrtcGetProgramLogSize"},
      {(void**)&nvrtc.log, "nvrtcGetProgramLog"},
      {(void**)&nvrtc.cubin_size, "nvrtcGetCUBINSize"},
      {(void**)&nvrtc.cubin, "nvrtcGetCUBIN"},
      {(void**)&nvrtc.ptx_size, "nvrtcGetPTXSize"},
      {(void**)&nvrtc.ptx, "nvrtcGetPTX"},
  };
  for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
    if (!(*functions[i].to = dlsym(lib, functions[i].name))) return dlerror();
  return NULL;
}

void senet_nvrtc_version(int* major, int* minor) { nvrtc.version(major, minor); }

const char* senet_nvrtc_status(int status) { return nvrtc.status(status); }

void senet_nvrtc_compile(senet_nvrtc_result* to, const char* source, const char* name, int count,
                         const char* const* options, int machine) {
  program* p = NULL;
  if ((to->status = nvrtc.create(&p, source, name, 0, NULL, NULL))) return;
  to->status = nvrtc.compile(p, count, options);
  size_t bytes = 0;
  if (nvrtc.log_size(p, &bytes) == 0 && (to->log = calloc(1, bytes + 1))) nvrtc.log(p, to->log);
  if (to->status == 0) to->status = machine ? nvrtc.cubin_size(p, &to->bytes) : nvrtc.ptx_size(p, &to->bytes);
  if (to->status == 0 && (to->image = malloc(to->bytes)))
    to->status = machine ? nvrtc.cubin(p, to->image) : nvrtc.ptx(p, to->image);
  nvrtc.destroy(&p);
}
