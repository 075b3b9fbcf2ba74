// Modules, functions, launches. What a module holds is ignored: kernels are found by name in the compiled libraries.
#include "driver.hpp"

#include <string.h>

using namespace emu;

static CUresult load(void** module, const void* image) {
  if (!image) return INVALID_VALUE;
  if (!open_kernels()) return INVALID_IMAGE;
  auto m = std::make_unique<Module>();
  *module = m.get();
  driver().modules[m.get()] = std::move(m);
  return SUCCESS;
}

API cuModuleLoadData(void** module, const void* image) {
  ENTER(CONTEXT);
  return load(module, image);
}

API cuModuleLoadDataEx(void** module, const void* image, unsigned, int*, void**) {
  ENTER(CONTEXT);
  return load(module, image);
}

API cuModuleUnload(void* module) {
  ENTER(CONTEXT);
  const CUresult r = force_all();
  if (r) return r;
  return driver().modules.erase(static_cast<Module*>(module)) ? SUCCESS : INVALID_HANDLE;
}

API cuModuleGetFunction(void** function, void* module, const char* name) {
  ENTER(CONTEXT);
  const auto m = driver().modules.find(static_cast<Module*>(module));
  if (m == driver().modules.end()) return INVALID_HANDLE;
  std::unique_ptr<Function>& f = m->second->functions[name];
  if (!f) {
    auto found = std::make_unique<Function>();
    for (int w = 0; w < WORKERS; w++) found->kernel[w] = find_kernel(w, name);
    if (!found->kernel[0]) {
      m->second->functions.erase(name);
      say("there is no kernel %s", name);
      return NOT_FOUND;
    }
    f = std::move(found);
  }
  *function = f.get();
  return SUCCESS;
}

static Function* find_function(void* handle) {
  for (const auto& m : driver().modules)
    for (const auto& f : m.second->functions)
      if (f.second.get() == handle) return f.second.get();
  return nullptr;
}

API cuFuncLoad(void* function) {
  ENTER(CONTEXT);
  return find_function(function) ? SUCCESS : INVALID_HANDLE;
}

enum { ATTRIBUTE_MAX_THREADS = 0, ATTRIBUTE_REGISTERS = 4, ATTRIBUTE_MAX_DYNAMIC_SHARED = 8 };

API cuFuncGetAttribute(int* value, int attribute, void* function) {
  ENTER(CONTEXT);
  const Function* f = find_function(function);
  if (!f) return INVALID_HANDLE;
  switch (attribute) {
    case ATTRIBUTE_MAX_THREADS:
      *value = f->kernel[0]->max_threads;
      break;
    case ATTRIBUTE_REGISTERS:
      *value = 32;
      break;
    case ATTRIBUTE_MAX_DYNAMIC_SHARED:
      *value = f->max_shared;
      break;
    default:
      *value = 0;
  }
  return SUCCESS;
}

API cuFuncSetAttribute(void* function, int attribute, int value) {
  ENTER(CONTEXT);
  Function* f = find_function(function);
  if (!f) return INVALID_HANDLE;
  if (attribute != ATTRIBUTE_MAX_DYNAMIC_SHARED) return SUCCESS;
  if (value < 0 || value > MAX_SHARED) return INVALID_VALUE;
  f->max_shared = value;
  return SUCCESS;
}

API cuFuncSetCacheConfig(void*, int) {
  ENTER(CONTEXT);
  return SUCCESS;
}

API cuFuncGetName(const char** name, void* function) {
  ENTER(CONTEXT);
  const Function* f = find_function(function);
  if (!f) return INVALID_HANDLE;
  *name = f->kernel[0]->name;
  return SUCCESS;
}

// A test compares a plan's arguments with it.
API cuFuncGetParamInfo(void* function, size_t index, size_t* offset, size_t* size) {
  ENTER(CONTEXT);
  const Function* f = find_function(function);
  if (!f) return INVALID_HANDLE;
  const Kernel* k = f->kernel[0];
  if (index >= static_cast<size_t>(k->count)) return INVALID_VALUE;
  size_t at = 0;
  for (size_t i = 0;; i++) {
    at = (at + k->sizes[i] - 1) / k->sizes[i] * k->sizes[i];
    if (i == index) break;
    at += k->sizes[i];
  }
  if (offset) *offset = at;
  if (size) *size = k->sizes[index];
  return SUCCESS;
}

API cuOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, void* function, int threads, size_t shared) {
  ENTER(CONTEXT);
  if (!find_function(function)) return INVALID_HANDLE;
  if (threads < 1) return INVALID_VALUE;
  const int by_threads = 2048 / ((threads + 31) / 32 * 32), by_shared = static_cast<int>((228 << 10) / (shared + 1024));
  *blocks = by_threads < by_shared ? by_threads : by_shared;
  if (*blocks > 32) *blocks = 32;
  return SUCCESS;
}

namespace {
// A launch that waits, with the values that its parameters had when it was issued.
struct Waiting {
  Function function;
  Launch launch;
  std::vector<uint64_t> words;

  // Addresses are checked when the kernel runs: memory may have been freed since the launch, or since a capture.
  CUresult run() {
    const Kernel* k = function.kernel[0];
    std::vector<void*> params;
    for (int i = 0; i < k->count; i++) {
      params.push_back(&words[static_cast<size_t>(i)]);
      const uint64_t p = words[static_cast<size_t>(i)];
      if (!k->pointers[i] || p == 0 || on_device(p, 0)) continue;
      say("kernel %s: argument %d, %#llx, is not an address of device memory", k->name, i,
          static_cast<unsigned long long>(p));
      return ILLEGAL_ADDRESS;
    }
    launch.params = params.data();
    std::string why;
    const Outcome outcome = run_blocks(function, launch, &why);
    if (outcome != FINE) say("kernel %s: %s", k->name, why.c_str());
    return outcome == FINE ? SUCCESS : outcome == FAULTED ? ILLEGAL_ADDRESS : LAUNCH_FAILED;
  }
};

// What a launch asks for, where a device does not have it.
const char* excess(const Function& f, const Launch& l) {
  const uint64_t threads = uint64_t{l.block[0]} * l.block[1] * l.block[2];
  if (!l.grid[0] || !l.grid[1] || !l.grid[2] || !threads) return "a dimension of the grid or of the block is 0";
  if (l.grid[0] > 0x7fffffff || l.grid[1] > 65535 || l.grid[2] > 65535) return "the grid is too large";
  if (l.block[0] > 1024 || l.block[1] > 1024 || l.block[2] > 64 || threads > MAX_THREADS)
    return "the block is too large";
  if (threads > static_cast<uint64_t>(f.kernel[0]->max_threads))
    return "the block is larger than its __launch_bounds__";
  if (l.shared > static_cast<unsigned>(f.max_shared)) return "more dynamic shared memory than was set for the function";
  return nullptr;
}
}  // namespace

API cuLaunchKernel(void* function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                   unsigned block_y, unsigned block_z, unsigned shared, void* stream, void** params, void** extra) {
  ENTER(CONTEXT);
  const Function* f = find_function(function);
  Stream* s = find_stream(stream);
  if (!f || !s) return INVALID_HANDLE;
  if (extra) return NOT_SUPPORTED;
  const auto w = std::make_shared<Waiting>();
  w->function = *f;
  w->launch = {f->kernel[0], nullptr, {grid_x, grid_y, grid_z}, {block_x, block_y, block_z}, shared};
  if (const char* what = excess(*f, w->launch)) {
    say("kernel %s: %s: grid (%u,%u,%u), block (%u,%u,%u), %u bytes of shared memory", f->kernel[0]->name, what, grid_x,
        grid_y, grid_z, block_x, block_y, block_z, shared);
    return INVALID_VALUE;
  }
  if (f->kernel[0]->count > 0 && !params) return INVALID_VALUE;
  for (int i = 0; i < f->kernel[0]->count; i++) {
    w->words.push_back(0);
    memcpy(&w->words.back(), params[i], f->kernel[0]->sizes[i]);
  }
  trace(s, f->kernel[0]->name);
  return issue(s, [w] { return w->run(); });
}
