// A libcuda.so.1 without a device, as far as cuDNN needs one to make plans for a device that is described to it: code
// loads, nothing runs. cudnn_check.sh builds it.
#include <stdint.h>

enum { SUCCESS = 0, NO_DEVICE = 100 };

#define LOADS(name)            \
  int name(void** out) {       \
    *out = (void*)(intptr_t)8; \
    return SUCCESS;            \
  }
#define WORKS(name) \
  int name(void) { return SUCCESS; }
#define FAILS(name) \
  int name(void) { return NO_DEVICE; }

int cuDriverGetVersion(int* version) {
  *version = 12090;
  return SUCCESS;
}
int cuKernelGetAttribute(int* value) {
  *value = 0;
  return SUCCESS;
}
LOADS(cuLibraryLoadData)
LOADS(cuLibraryGetKernel)
LOADS(cuKernelGetFunction)
LOADS(cuModuleLoadData)
LOADS(cuModuleGetFunction)
WORKS(cuLibraryUnload)
WORKS(cuKernelSetAttribute)
WORKS(cuModuleUnload)
FAILS(cuCtxGetCurrent)
FAILS(cuCtxGetLimit)
FAILS(cuCtxPopCurrent)
FAILS(cuCtxPushCurrent)
FAILS(cuDeviceGet)
FAILS(cuDeviceGetCount)
FAILS(cuGetErrorName)
FAILS(cuGetErrorString)
FAILS(cuLaunchCooperativeKernel)
FAILS(cuLaunchKernel)
FAILS(cuLaunchKernelEx)
FAILS(cuLibraryLoadFromFile)
FAILS(cuLinkAddData)
FAILS(cuLinkComplete)
FAILS(cuLinkCreate)
FAILS(cuLinkDestroy)
FAILS(cuOccupancyMaxPotentialClusterSize)
FAILS(cuStreamGetCtx)
FAILS(cuTensorMapEncodeIm2col)
FAILS(cuTensorMapEncodeTiled)
