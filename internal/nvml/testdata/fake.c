// CUDA and NVML with two GPUs, of which CUDA lists the second first. The fifth look at one fails.
#include <stdio.h>
#include <string.h>

int cuDeviceGet(int* device, int index) {
  *device = 100 + index;
  return index > 1;
}

int cuDeviceGetPCIBusId(char* text, int size, int device) {
  snprintf(text, size, "0000:%02x:00.0", device == 100 ? 0x17 : 0x03);
  return 0;
}

static int started, looks, gpus[2];

int nvmlInit_v2(void) {
  started = 1;
  return 0;
}

int nvmlDeviceGetHandleByPciBusId_v2(const char* text, void** device) {
  if (!started) return 1;
  *device = &gpus[!strcmp(text, "0000:17:00.0")];
  return 0;
}

int nvmlDeviceGetUtilizationRates(void* device, unsigned* rates) {
  rates[0] = device == &gpus[1] ? 97 : 3;
  rates[1] = 50;
  return ++looks == 5 ? 3 : 0;
}

int nvmlDeviceGetMemoryInfo(void* device, unsigned long long* sizes) {
  sizes[0] = 80ull << 30;
  sizes[2] = device == &gpus[1] ? 23ull << 30 : 1ull << 30;
  sizes[1] = sizes[0] - sizes[2];
  return 0;
}
