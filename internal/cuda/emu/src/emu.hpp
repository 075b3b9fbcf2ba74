// CUDA C++ as g++ understands it: the part of the language and of its built-in functions that our kernels use. A thread
// is a fiber (fiber.hpp); one OS thread runs one block at a time, with its own copy of this library, so everything that
// CUDA keeps per block or per thread is a plain static variable.
#pragma once
#include <math.h>

// Block-wide memory. The statics of a .cu file are the shared memory of its kernels and nothing else: the build gathers
// them in one section, which is poisoned before every block.
#define __shared__ static
#define __global__
#define __device__
#define __host__
#define __constant__ static const
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __restrict__ __restrict
#define __align__(n) __attribute__((aligned(n)))
// The build, which lists the kernels of preprocessed files, wants to see these two words in them.
#ifdef SENET_SCAN
#undef __global__
#define __global__ SENET_GLOBAL
#define __launch_bounds__(...) SENET_BOUNDS(__VA_ARGS__)
#else
#define __launch_bounds__(...)
#endif
#define SENET_DYNAMIC_SHARED(type, name) type* const name = reinterpret_cast<type*>(emu::dynamic_shared)

#include "types.hpp"
#include "numbers.hpp"
#include "warp.hpp"
