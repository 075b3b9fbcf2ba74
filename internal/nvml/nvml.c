#include "nvml.h"

#include <dlfcn.h>
#include <string.h>

static int find(void* library, const char* name, void* slot) {
  void* f = library ? dlsym(library, name) : NULL;
  memcpy(slot, &f, sizeof f);
  return f != NULL;
}

const char* senet_nvml_open(senet_nvml* n, const char* nvml_library, const char* cuda_library, int index) {
  int (*get)(int* device, int index);
  int (*address)(char* text, int size, int device);
  int (*init)(void);
  int (*by_address)(const char* text, void** device);
  // Never closed: this is for as long as the process lives.
  void* cuda = dlopen(cuda_library, RTLD_NOW | RTLD_LOCAL);
  void* nvml = dlopen(nvml_library, RTLD_NOW | RTLD_LOCAL);
  if (!find(cuda, "cuDeviceGet", &get) || !find(cuda, "cuDeviceGetPCIBusId", &address)) return "no CUDA driver";
  if (!find(nvml, "nvmlInit_v2", &init) || !find(nvml, "nvmlDeviceGetHandleByPciBusId_v2", &by_address) ||
      !find(nvml, "nvmlDeviceGetUtilizationRates", &n->utilization) ||
      !find(nvml, "nvmlDeviceGetMemoryInfo", &n->memory))
    return "no NVML";
  int device;
  char text[32];
  if (get(&device, index) || address(text, sizeof text, device)) return "no such GPU";
  if (init()) return "NVML does not start";
  return by_address(text, &n->device) ? "NVML does not know the GPU" : NULL;
}

int senet_nvml_usage(const senet_nvml* n, unsigned* percent, unsigned long long* used_bytes) {
  struct {
    unsigned gpu, memory;  // percent
  } rates;
  struct {
    unsigned long long total, free, used;  // bytes
  } sizes;
  int status = n->utilization(n->device, &rates);
  if (!status) status = n->memory(n->device, &sizes);
  if (!status) *percent = rates.gpu, *used_bytes = sizes.used;
  return status;
}
