/* What senet links in place of -lcuda, with the jumps that stub.sh writes: the driver's libcuda.so.1
   is opened when it is first asked for, so the program starts on a host without one, and a command
   that needs no GPU does not wait for the driver. internal/cuda/driver.h declares what is ours. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stddef.h>
#include <string.h>

/* In the order of stub.sh: the functions of cuda.h by name, and where each one's jump goes. */
extern const char *const senet_cuda_names[] __attribute__((visibility("hidden")));
extern void *senet_cuda_slots[] __attribute__((visibility("hidden")));

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int status;
static char load_error[1024], library[4096];
static int (*device_count)(int *);

static void start(void) {
  void *driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_GLOBAL);
  if (driver == NULL) {
    strncpy(load_error, dlerror(), sizeof load_error - 1);
    return;
  }
  for (int i = 0; senet_cuda_names[i] != NULL; i++) {
    void *f = dlsym(driver, senet_cuda_names[i]);
    if (f != NULL) senet_cuda_slots[i] = f;
  }
  Dl_info where;
  int (*initialize)(unsigned) = (int (*)(unsigned))dlsym(driver, "cuInit");
  device_count = (int (*)(int *))dlsym(driver, "cuDeviceGetCount");
  if (initialize == NULL || device_count == NULL) {
    strcpy(load_error, "it is no driver: it lacks cuInit or cuDeviceGetCount");
    return;
  }
  if (dladdr((void *)initialize, &where) != 0) strncpy(library, where.dli_fname, sizeof library - 1);
  status = initialize(0);
}

/* The true status of cuInit, 0 where no library was loaded. */
int senet_cuda_init_status(void) {
  pthread_once(&once, start);
  return status;
}

/* Why libcuda.so.1 was not loaded, "" if it was. */
const char *senet_cuda_load_error(void) {
  pthread_once(&once, start);
  return load_error;
}

/* The file that was loaded, "" if none was. */
const char *senet_cuda_library(void) {
  pthread_once(&once, start);
  return library;
}

/* gorgonia.org/cu calls cuInit before main and ends the process if it fails. */
int cuInit(unsigned flags) {
  (void)flags;
  return 0;
}

int cuDeviceGetCount(int *count) {
  *count = 0;
  if (senet_cuda_init_status() != 0 || load_error[0] != '\0') return 0;
  return device_count(count);
}
