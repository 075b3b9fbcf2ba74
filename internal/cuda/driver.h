// What the archive that is linked in place of the NVIDIA driver tells of it: scripts/cuda/stub.c.
// The first call opens libcuda.so.1 and initialises it.

#pragma once

#include <cuda.h>

int senet_cuda_init_status(void);         // what cuInit returned, 0 where no library was loaded
const char *senet_cuda_load_error(void);  // why libcuda.so.1 was not loaded, "" if it was
const char *senet_cuda_library(void);     // the file that was loaded, "" if none was
