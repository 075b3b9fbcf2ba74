// NVML through dlopen: nothing links against the driver, which may not be there.
#ifndef SENET_NVML_H
#define SENET_NVML_H

typedef struct {
  void* device;  // nvmlDevice_t
  int (*utilization)(void* device, void* rates);
  int (*memory)(void* device, void* sizes);
} senet_nvml;

// senet_nvml_open finds CUDA's GPU index, which CUDA_VISIBLE_DEVICES renumbers, by its PCI address. It returns what is wrong, or NULL.
const char* senet_nvml_open(senet_nvml* n, const char* nvml_library, const char* cuda_library, int index);

// senet_nvml_usage returns NVML's status, 0 for success.
int senet_nvml_usage(const senet_nvml* n, unsigned* percent, unsigned long long* used_bytes);

#endif
