// A libcuda.so.1 that answers as its environment says: what no healthy driver answers, for the tests.
//
//   DRIVER_INIT     what cuInit returns
//   DRIVER_VERSION  12090 if not set
//   DRIVER_DEVICES  name:compute capability, e.g. "New:90,Old:75"
//   DRIVER_FAILS    name of the one other call that fails, with the code in DRIVER_CODE

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef int result;
typedef void *handle;

static int number(const char *name, int otherwise) { return getenv(name) ? atoi(getenv(name)) : otherwise; }

static result answer(const char *call) {
  const char *fails = getenv("DRIVER_FAILS");
  return fails && strcmp(fails, call) == 0 ? number("DRIVER_CODE", 999) : 0;
}

// The i-th device's name and compute capability; how many there are if i is -1.
static int device(int i, char *name, int *compute) {
  char list[1000] = "", *rest = list, *entry;
  if (getenv("DRIVER_DEVICES")) strncpy(list, getenv("DRIVER_DEVICES"), sizeof list - 1);
  int n = 0;
  for (; (entry = strsep(&rest, ",")) != NULL && *entry; n++)
    if (n == i) sscanf(entry, "%[^:]:%d", name, compute);
  return n;
}

result cuInit(unsigned flags) { return flags ? 1 : number("DRIVER_INIT", 0); }
result cuDriverGetVersion(int *v) { return *v = number("DRIVER_VERSION", 12090), 0; }
result cuDeviceGetCount(int *n) { return *n = device(-1, NULL, NULL), answer("cuDeviceGetCount"); }
result cuDeviceGet(int *d, int i) { return *d = i, 0; }

result cuDeviceGetName(char *name, int size, int d) {
  int compute;
  (void)size;
  return device(d, name, &compute), 0;
}

result cuDeviceTotalMem_v2(size_t *bytes, int d) { return *bytes = (size_t)(d + 1) << 30, 0; }

result cuDeviceGetAttribute(int *v, int attribute, int d) {
  char name[1000];
  int compute;
  device(d, name, &compute);
  switch (attribute) {
    case 75:
      return *v = compute / 10, 0;
    case 76:
      return *v = compute % 10, 0;
    case 16:
      return *v = 132, 0;  // multiprocessors
    case 36:
      return *v = 2619000, 0;  // memory clock, kHz
    case 37:
      return *v = 5120, 0;  // memory bus, bits
  }
  return 1;
}

result cuGetErrorString(result code, const char **text) {
  static char s[100];
  snprintf(s, sizeof s, "text of %d", code);
  return *text = s, 0;
}

result cuGetErrorName(result code, const char **name) {
  static char s[100];
  snprintf(s, sizeof s, "CUDA_ERROR_%d", code);
  return *name = s, 0;
}

result cuDevicePrimaryCtxRetain(handle *c, int d) {
  return *c = (handle)(intptr_t)(d + 1), answer("cuDevicePrimaryCtxRetain");
}
result cuDevicePrimaryCtxRelease_v2(int d) { return (void)d, answer("cuDevicePrimaryCtxRelease"); }
result cuCtxSetCurrent(handle c) { return c ? 0 : 201; }
result cuCtxSynchronize(void) { return 0; }

result cuMemAlloc_v2(uint64_t *a, size_t bytes) { return *a = bytes, answer("cuMemAlloc"); }
result cuMemGetInfo_v2(size_t *free, size_t *total) { return *free = 5 << 20, *total = 7 << 20, 0; }
result cuMemsetD8_v2(uint64_t a, unsigned char v, size_t bytes) { return (void)a, (void)v, (void)bytes, 0; }

result cuStreamCreate(handle *s, unsigned flags) { return *s = s, flags == 1 ? 0 : 1; }
result cuStreamDestroy_v2(handle s) { return s ? 0 : 400; }
result cuStreamSynchronize(handle s) { return (void)s, answer("cuStreamSynchronize"); }
result cuStreamBeginCapture_v2(handle s, int mode) { return (void)s, mode == 1 ? answer("cuStreamBeginCapture") : 1; }
result cuStreamEndCapture(handle s, handle *graph) {
  return *graph = answer("cuStreamEndCapture") ? NULL : s, answer("cuStreamEndCapture");
}
result cuGraphInstantiateWithFlags(handle *exec, handle graph, unsigned long long flags) {
  return *exec = flags ? NULL : graph, answer("cuGraphInstantiate");
}
result cuGraphDestroy(handle graph) { return graph ? 0 : 400; }
result cuGraphExecDestroy(handle exec) { return exec ? 0 : 400; }

// Writes its log as the driver does: options 5 and 6 are the buffer and its size.
result cuModuleLoadDataEx(handle *m, const void *image, unsigned n, int *option, void **value) {
  if (n != 2 || option[0] != 5 || option[1] != 6) return 1;
  *m = m;
  if (strcmp(image, "good PTX") == 0) return 0;
  snprintf(value[0], (size_t)value[1], "ptxas: line 1: %s is no PTX\n", (const char *)image);
  return 218;
}
result cuModuleUnload(handle m) { return m ? 0 : 400; }
result cuModuleGetFunction(handle *f, handle m, const char *name) { return *f = m, strcmp(name, "kernel") ? 500 : 0; }
result cuFuncSetAttribute(handle f, int attribute, int value) {
  return f && attribute == 8 && value > 48 << 10 ? 0 : 1;
}

// The kernel takes 0x1122334455667788 and, in 4 bytes, 42.
result cuLaunchKernel(handle f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                      unsigned shared, handle s, void **argument, void **extra) {
  if (!f || !s || extra || gx != 1 || gy != 2 || gz != 3 || bx != 4 || by != 5 || bz != 6 || shared != 7) return 1;
  if (*(uint64_t *)argument[0] != 0x1122334455667788 || *(uint32_t *)argument[1] != 42) return 1;
  return answer("cuLaunchKernel");
}
