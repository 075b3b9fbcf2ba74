// The table of kernels and what the driver and a library of kernels say to each other. The library is loaded once for
// each worker, so its statics belong to one OS thread.
#pragma once
#include <stddef.h>

namespace emu {
struct Kernel {
  const char* name;
  void (*invoke)(void** params);  // as cuLaunchKernel takes them
  int count;                      // of parameters
  const unsigned char* sizes;     // of each in bytes
  const bool* pointers;           // whether each is an address
  int max_threads;                // __launch_bounds__, or 1024
  char *shared, *shared_end;      // the static shared memory of all kernels of the file
};

struct Launch {
  const Kernel* kernel;
  void** params;
  unsigned grid[3], block[3];
  unsigned shared;  // bytes of dynamic shared memory
};

enum { MAX_THREADS = 1024, MAX_SHARED = 227 << 10, DEFAULT_SHARED = 48 << 10 };

// What a library of kernels exports, under these names with senet_ before them.
typedef const Kernel* find_fn(const char* name);  // NULL if there is none
typedef const Kernel* at_fn(int index);           // NULL beyond the last
enum Outcome { FINE, FAILED, FAULTED };
// Runs a block; *why says what went wrong. block is linear.
typedef Outcome run_fn(const Launch*, unsigned long long block, unsigned long long seed, const char** why);
// For a handler of signals on a worker: ends the block that is running; returns only when none is.
typedef void fault_fn(int signal, const void* address);
}  // namespace emu
