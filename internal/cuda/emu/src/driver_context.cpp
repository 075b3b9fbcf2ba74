// Initialisation, the device, its context, errors, and what tests say to the emulator.
#include "driver.hpp"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <chrono>

namespace emu {
namespace {
// A context for each device: any addresses will do.
char contexts[MAX_DEVICES];
thread_local char* current;

bool exists(CUdevice device) { return device >= 0 && device < driver().devices; }
bool in_use(const char* context) { return context && driver().primary_users[context - contexts] > 0; }
}  // namespace

// Never destroyed: other threads may still call when the process ends.
Driver& driver() {
  static Driver* d = new Driver;
  return *d;
}

uint64_t draw(uint64_t n) {
  uint64_t& x = driver().random;  // splitmix64
  uint64_t z = x += 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return n ? (z ^ (z >> 31)) % n : 0;
}

void say(const char* format, ...) {
  va_list args;
  va_start(args, format);
  fputs("emulator: ", stderr);
  vfprintf(stderr, format, args);
  fputc('\n', stderr);
  va_end(args);
}

CUresult enter(const char* function, Needs needs) {
  Driver& d = driver();
  if (d.fail_calls > 0) {
    const size_t n = d.fail_function.size();
    const char* rest = function + n;
    if (strncmp(function, d.fail_function.c_str(), n) == 0 && (*rest == 0 || strncmp(rest, "_v", 2) == 0) &&
        --d.fail_calls == 0)
      return d.fail_result;
  }
  if (needs == NOTHING) return SUCCESS;
  if (d.sticky) return d.sticky;
  return in_use(current) ? SUCCESS : INVALID_CONTEXT;
}

int current_device() { return static_cast<int>(current - contexts); }

void wait_for_calls() {
  Driver& d = driver();
  static const auto LONG = std::chrono::seconds(20);
  if (d.called.wait_for(d.lock, LONG) == std::cv_status::timeout) say("waited for 20 s for a call of another thread");
}
}  // namespace emu

using namespace emu;

extern "C" __attribute__((visibility("default"))) void senet_emu_seed(uint64_t seed) {
  std::lock_guard<std::mutex> guard(driver().lock);
  driver().seed = driver().random = seed;
}

extern "C" __attribute__((visibility("default"))) void senet_emu_memory(size_t bytes) {
  std::lock_guard<std::mutex> guard(driver().lock);
  driver().total = bytes;
}

extern "C" __attribute__((visibility("default"))) void senet_emu_devices(int count) {
  std::lock_guard<std::mutex> guard(driver().lock);
  driver().devices = count;
}

// Starts to note what is issued, or with a buffer stops and copies the notes there.
extern "C" __attribute__((visibility("default"))) size_t senet_emu_trace(char* buffer, size_t size) {
  std::lock_guard<std::mutex> guard(driver().lock);
  Driver& d = driver();
  d.traces = buffer == nullptr;
  std::string all;
  for (const std::string& line : d.trace) all += line + '\n';
  d.trace.clear();
  if (all.size() < size) memcpy(buffer, all.c_str(), all.size() + 1);
  return all.size();
}

extern "C" __attribute__((visibility("default"))) void senet_emu_fail(const char* function, int calls,
                                                                      CUresult result) {
  std::lock_guard<std::mutex> guard(driver().lock);
  driver().fail_function = function;
  driver().fail_calls = calls;
  driver().fail_result = result;
}

API cuInit(unsigned) {
  ENTER(NOTHING);
  return SUCCESS;
}

API cuDriverGetVersion(int* version) {
  ENTER(NOTHING);
  *version = 12090;
  return SUCCESS;
}

API cuDeviceGetCount(int* count) {
  ENTER(NOTHING);
  *count = driver().devices;
  return SUCCESS;
}

API cuDeviceGet(CUdevice* device, int ordinal) {
  ENTER(NOTHING);
  if (!exists(ordinal)) return INVALID_DEVICE;
  *device = ordinal;
  return SUCCESS;
}

API cuDeviceGetName(char* name, int length, CUdevice device) {
  ENTER(NOTHING);
  if (!exists(device)) return INVALID_DEVICE;
  snprintf(name, static_cast<size_t>(length), "Emulated GPU");
  return SUCCESS;
}

API cuDeviceGetUuid_v2(unsigned char* uuid, CUdevice device) {
  ENTER(NOTHING);
  if (!exists(device)) return INVALID_DEVICE;
  memset(uuid, 0xe5, 16);
  uuid[0] = static_cast<unsigned char>(device);
  return SUCCESS;
}

API cuDeviceTotalMem_v2(size_t* bytes, CUdevice device) {
  ENTER(NOTHING);
  if (!exists(device)) return INVALID_DEVICE;
  *bytes = driver().total;
  return SUCCESS;
}

// Those of an H100 SXM by number; all others are 0.
API cuDeviceGetAttribute(int* value, int attribute, CUdevice device) {
  ENTER(NOTHING);
  if (!exists(device)) return INVALID_DEVICE;
  static const std::map<int, int> values = {
      {1, MAX_THREADS},  // threads of a block
      {2, 1024},
      {3, 1024},        // along x and y
      {4, 64},          // and z
      {5, 0x7fffffff},  // blocks along x,
      {6, 65535},
      {7, 65535},           // y and z
      {8, DEFAULT_SHARED},  // bytes of shared memory of a block
      {10, 32},             // lanes of a warp
      {12, 65536},          // registers of a block
      {13, 1980000},        // clock, kHz
      {16, 132},            // multiprocessors
      {31, 1},              // kernels run side by side
      {36, 2619000},        // clock of the memory, kHz
      {37, 5120},           // bits of its bus
      {38, 50 << 20},       // bytes of the second-level cache
      {39, 2048},           // threads of a multiprocessor
      {40, 3},              // copy engines
      {41, 1},              // unified addresses
      {75, 9},
      {76, 0},           // compute capability
      {78, 1},           // streams have priorities
      {81, 228 << 10},   // bytes of shared memory of a multiprocessor
      {82, 65536},       // and its registers
      {95, 1},           // cooperative launches
      {97, MAX_SHARED},  // bytes of shared memory of a block that asks for it
      {106, 32},         // blocks of a multiprocessor
  };
  const auto found = values.find(attribute);
  *value = found == values.end() ? 0 : found->second;
  return SUCCESS;
}

API cuDevicePrimaryCtxRetain(void** c, CUdevice device) {
  ENTER(NOTHING);
  if (!exists(device)) return INVALID_DEVICE;
  driver().primary_users[device]++;
  *c = &contexts[device];
  return SUCCESS;
}

// Contexts that nobody holds are gone, with all memory and whatever failed in them: all at once, with the last.
static CUresult destroy_contexts() {
  Driver& d = driver();
  const CUresult guards = d.sticky ? SUCCESS : check_guards();
  free_all();
  d.streams.clear();
  d.events.clear();
  d.modules.clear();
  d.graphs.clear();
  d.executables.clear();
  d.captures.clear();
  d.null_stream = Stream();
  d.sticky = SUCCESS;
  return guards;
}

API cuDevicePrimaryCtxRelease_v2(CUdevice device) {
  ENTER(NOTHING);
  Driver& d = driver();
  if (device < 0 || device >= MAX_DEVICES || d.primary_users[device] == 0) return INVALID_CONTEXT;
  const CUresult ran = d.sticky || d.primary_users[device] > 1 ? SUCCESS : force_all(device);
  d.primary_users[device]--;
  for (const int users : d.primary_users)
    if (users > 0) return ran;
  const CUresult destroyed = destroy_contexts();
  return ran ? ran : destroyed;
}

API cuDevicePrimaryCtxReset_v2(CUdevice device) {
  ENTER(NOTHING);
  return exists(device) ? destroy_contexts() : INVALID_DEVICE;
}

API cuDevicePrimaryCtxGetState(CUdevice device, unsigned* flags, int* active) {
  ENTER(NOTHING);
  if (!exists(device)) return INVALID_DEVICE;
  *flags = 0;
  *active = driver().primary_users[device] > 0;
  return SUCCESS;
}

API cuDevicePrimaryCtxSetFlags_v2(CUdevice, unsigned) {
  ENTER(NOTHING);
  return SUCCESS;
}

API cuCtxSetCurrent(void* c) {
  ENTER(NOTHING);
  char* const context = static_cast<char*>(c);
  if (c && (context < contexts || context >= contexts + MAX_DEVICES || !in_use(context))) return INVALID_CONTEXT;
  current = context;
  return SUCCESS;
}

API cuCtxGetCurrent(void** c) {
  ENTER(NOTHING);
  *c = current;
  return SUCCESS;
}

API cuCtxGetDevice(CUdevice* device) {
  ENTER(CONTEXT);
  *device = current_device();
  return SUCCESS;
}

API cuCtxSynchronize() {
  ENTER(CONTEXT);
  if (const CUresult r = forbidden_in_capture()) return r;
  if (const CUresult r = force_all()) return r;
  return check_guards();
}

API cuCtxGetStreamPriorityRange(int* least, int* greatest) {
  ENTER(CONTEXT);
  if (least) *least = 0;
  if (greatest) *greatest = -5;
  return SUCCESS;
}

// Names and texts are as cuda.h has them.
static const std::map<CUresult, std::pair<const char*, const char*>>& errors() {
  static const std::map<CUresult, std::pair<const char*, const char*>> all = {
      {0, {"CUDA_SUCCESS", "no error"}},
      {1, {"CUDA_ERROR_INVALID_VALUE", "invalid argument"}},
      {2, {"CUDA_ERROR_OUT_OF_MEMORY", "out of memory"}},
      {3, {"CUDA_ERROR_NOT_INITIALIZED", "initialization error"}},
      {4, {"CUDA_ERROR_DEINITIALIZED", "driver shutting down"}},
      {46, {"CUDA_ERROR_DEVICE_UNAVAILABLE", "CUDA-capable device(s) is/are busy or unavailable"}},
      {100, {"CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"}},
      {101, {"CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"}},
      {200, {"CUDA_ERROR_INVALID_IMAGE", "device kernel image is invalid"}},
      {201, {"CUDA_ERROR_INVALID_CONTEXT", "invalid device context"}},
      {209, {"CUDA_ERROR_NO_BINARY_FOR_GPU", "no kernel image is available for execution on the device"}},
      {214, {"CUDA_ERROR_ECC_UNCORRECTABLE", "uncorrectable ECC error encountered"}},
      {218, {"CUDA_ERROR_INVALID_PTX", "a PTX JIT compilation failed"}},
      {400, {"CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"}},
      {500, {"CUDA_ERROR_NOT_FOUND", "named symbol not found"}},
      {600, {"CUDA_ERROR_NOT_READY", "device not ready"}},
      {700, {"CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"}},
      {701, {"CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES", "too many resources requested for launch"}},
      {702, {"CUDA_ERROR_LAUNCH_TIMEOUT", "the launch timed out and was terminated"}},
      {709, {"CUDA_ERROR_CONTEXT_IS_DESTROYED", "context is destroyed"}},
      {719, {"CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"}},
      {801, {"CUDA_ERROR_NOT_SUPPORTED", "operation not supported"}},
      {900, {"CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED", "operation not permitted when stream is capturing"}},
      {901, {"CUDA_ERROR_STREAM_CAPTURE_INVALIDATED", "operation failed due to a previous error during capture"}},
      {902, {"CUDA_ERROR_STREAM_CAPTURE_MERGE", "operation would result in a merge of separate capture sequences"}},
      {903, {"CUDA_ERROR_STREAM_CAPTURE_UNMATCHED", "capture was not ended in the same stream as it began"}},
      {904, {"CUDA_ERROR_STREAM_CAPTURE_UNJOINED", "capturing stream has unjoined work"}},
      {905, {"CUDA_ERROR_STREAM_CAPTURE_ISOLATION", "dependency created on uncaptured work in another stream"}},
      {907, {"CUDA_ERROR_CAPTURED_EVENT", "operation not permitted on an event last recorded in a capturing stream"}},
      {999, {"CUDA_ERROR_UNKNOWN", "unknown error"}},
  };
  return all;
}

API cuGetErrorName(CUresult error, const char** name) {
  const auto found = errors().find(error);
  *name = found == errors().end() ? nullptr : found->second.first;
  return *name ? SUCCESS : INVALID_VALUE;
}

API cuGetErrorString(CUresult error, const char** text) {
  const auto found = errors().find(error);
  *text = found == errors().end() ? nullptr : found->second.second;
  return *text ? SUCCESS : INVALID_VALUE;
}
