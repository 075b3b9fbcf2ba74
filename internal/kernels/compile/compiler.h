// NVRTC, NVIDIA's compiler as a library, opened at run time; see compiler.go.
#pragma once
#include <stddef.h>

// What senet_nvrtc_compile makes. The caller frees image and log.
typedef struct {
  int status;  // first nvrtcResult that was not 0
  char* image;
  size_t bytes;
  char* log;  // zero-terminated
} senet_nvrtc_result;

// Opens the library at path. Returns NULL, or what went wrong.
const char* senet_nvrtc_open(const char* path);
void senet_nvrtc_version(int* major, int* minor);
const char* senet_nvrtc_status(int status);

// Compiles source to machine code where machine is set, else to PTX. Any number of threads may call it.
void senet_nvrtc_compile(senet_nvrtc_result* to, const char* source, const char* name, int count,
                         const char* const* options, int machine);
