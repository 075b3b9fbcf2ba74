// How the build enters a kernel in the table: it appends SENET_REGISTER lines to each .cu file.
#pragma once
#include <type_traits>
#include <utility>

#include "kernel.hpp"

namespace emu {
template <auto F>
struct Entry;

template <class... A, void (*F)(A...)>
struct Entry<F> {
  static constexpr unsigned char sizes[sizeof...(A) + 1] = {sizeof(A)..., 0};
  static constexpr bool pointers[sizeof...(A) + 1] = {std::is_pointer<A>::value..., false};
  static constexpr int count = sizeof...(A);
  static void invoke(void** params) { call(params, std::index_sequence_for<A...>()); }
  template <size_t... I>
  static void call(void** params, std::index_sequence<I...>) {
    F(*static_cast<std::remove_reference_t<A>*>(params[I])...);
    (void)params;  // of a kernel without parameters
  }
};

constexpr int first(int x = MAX_THREADS, ...) { return x; }
}  // namespace emu

// shared is the name of the section that holds the file's static shared memory, which may not exist.
#define SENET_SHARED_SECTION(shared)                                               \
  extern "C" char __start_##shared[] __attribute__((weak, visibility("default"))); \
  extern "C" char __stop_##shared[] __attribute__((weak, visibility("default")));
// bounds are the arguments of __launch_bounds__ in parentheses.
#define SENET_REGISTER(kernel, bounds, shared)                              \
  static emu::Kernel senet_kernel_##kernel = {#kernel,                      \
                                              emu::Entry<kernel>::invoke,   \
                                              emu::Entry<kernel>::count,    \
                                              emu::Entry<kernel>::sizes,    \
                                              emu::Entry<kernel>::pointers, \
                                              emu::first bounds,            \
                                              __start_##shared,             \
                                              __stop_##shared};             \
  __attribute__((section("senet_kernels"), used)) static emu::Kernel* senet_entry_##kernel = &senet_kernel_##kernel;
