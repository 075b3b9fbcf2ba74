// Device and pinned memory, copies, fills. A device address is a host address: unified addressing, as on a real device.
#include "driver.hpp"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

namespace emu {
namespace {
const size_t PAGE = 4096, ALIGN = 256, GUARD = 256, FORBIDDEN = 1 << 20;
const unsigned char CANARY = 0xa5;

size_t round_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

void unmap(const Allocation& a) { munmap(a.map - FORBIDDEN, static_cast<size_t>(a.map_end - a.map) + 2 * FORBIDDEN); }

// Memory lies so that a guard of at least 256 bytes comes before and after it, and beyond each guard a MiB that cannot
// be touched.
bool map(size_t bytes, Allocation* a, char** at) {
  const size_t behind = round_up(bytes, ALIGN) + GUARD, inner = round_up(behind + GUARD, PAGE);
  void* p = mmap(nullptr, inner + 2 * FORBIDDEN, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) return false;
  a->bytes = bytes;
  a->map = static_cast<char*>(p) + FORBIDDEN;
  a->map_end = a->map + inner;
  if (mprotect(a->map, inner, PROT_READ | PROT_WRITE) != 0) {
    unmap(*a);
    return false;
  }
  *at = a->map_end - behind;
  memset(a->map, CANARY, static_cast<size_t>(*at - a->map));
  memset(*at, 0xff, bytes);
  memset(*at + bytes, CANARY, static_cast<size_t>(a->map_end - *at) - bytes);
  return true;
}

CUresult check_guard(CUdeviceptr at, const Allocation& a) {
  const char *start = reinterpret_cast<char*>(at), *end = start + a.bytes;
  for (const char* p = a.map; p < a.map_end; p = p + 1 == start ? end : p + 1) {
    if (static_cast<unsigned char>(*p) == CANARY) continue;
    if (p < start) say("%td bytes before an allocation of %zu bytes were written to", start - p, a.bytes);
    else say("byte %td of an allocation of %zu bytes was written to", p - start, a.bytes);
    return driver().sticky = ILLEGAL_ADDRESS;
  }
  return SUCCESS;
}
}  // namespace

bool on_device(CUdeviceptr p, size_t bytes) {
  auto next = driver().device.upper_bound(p);
  if (next == driver().device.begin()) return false;
  --next;
  return p + bytes <= next->first + next->second.bytes;
}

CUresult check_guards() {
  for (const auto& a : driver().device)
    if (const CUresult r = check_guard(a.first, a.second)) return r;
  return SUCCESS;
}

void free_all() {
  for (const auto& a : driver().device) unmap(a.second);
  driver().device.clear();
  driver().used = 0;
}
}  // namespace emu

using namespace emu;

API cuMemAlloc_v2(CUdeviceptr* p, size_t bytes) {
  ENTER(CONTEXT);
  if (const CUresult r = forbidden_in_capture()) return r;
  Driver& d = driver();
  if (bytes == 0) return INVALID_VALUE;
  Allocation a;
  char* at;
  if (bytes > d.total || d.used + bytes > d.total || !map(bytes, &a, &at)) return OUT_OF_MEMORY;
  d.used += bytes;
  *p = reinterpret_cast<CUdeviceptr>(at);
  d.device[*p] = a;
  return SUCCESS;
}

// As on a device, all work ends first.
API cuMemFree_v2(CUdeviceptr p) {
  ENTER(CONTEXT);
  if (const CUresult r = forbidden_in_capture()) return r;
  Driver& d = driver();
  if (p == 0) return SUCCESS;
  const auto found = d.device.find(p);
  if (found == d.device.end()) return INVALID_VALUE;
  CUresult r = force_all();
  if (r == SUCCESS) r = check_guard(p, found->second);
  d.used -= found->second.bytes;
  unmap(found->second);
  d.device.erase(found);
  return r;
}

API cuMemGetInfo_v2(size_t* free, size_t* total) {
  ENTER(CONTEXT);
  const Driver& d = driver();
  *free = d.total > d.used ? d.total - d.used : 0;
  *total = d.total;
  return SUCCESS;
}

API cuMemGetAddressRange_v2(CUdeviceptr* base, size_t* bytes, CUdeviceptr p) {
  ENTER(CONTEXT);
  if (!on_device(p, 1)) return NOT_FOUND;
  const auto found = --driver().device.upper_bound(p);
  if (base) *base = found->first;
  if (bytes) *bytes = found->second.bytes;
  return SUCCESS;
}

static CUresult alloc_host(void** p, size_t bytes) {
  if (bytes == 0) return INVALID_VALUE;
  *p = aligned_alloc(PAGE, round_up(bytes, PAGE));
  if (!*p) return OUT_OF_MEMORY;
  memset(*p, 0xff, bytes);
  driver().pinned[static_cast<char*>(*p)] = bytes;
  return SUCCESS;
}

API cuMemHostAlloc(void** p, size_t bytes, unsigned) {
  ENTER(CONTEXT);
  const CUresult r = forbidden_in_capture();
  return r ? r : alloc_host(p, bytes);
}

API cuMemAllocHost_v2(void** p, size_t bytes) {
  ENTER(CONTEXT);
  const CUresult r = forbidden_in_capture();
  return r ? r : alloc_host(p, bytes);
}

API cuMemFreeHost(void* p) {
  ENTER(CONTEXT);
  if (const CUresult r = forbidden_in_capture()) return r;
  if (driver().pinned.erase(static_cast<char*>(p)) == 0) return INVALID_VALUE;
  const CUresult r = force_all();
  free(p);
  return r;
}

// A copy reads and writes when it runs, not when it is issued.
static CUresult copy(void* stream, CUdeviceptr to, CUdeviceptr from, size_t bytes, bool to_device, bool from_device) {
  Stream* s = find_stream(stream);
  if (!s) return INVALID_HANDLE;
  if (bytes == 0) return SUCCESS;
  if (on_device(to, bytes) != to_device || on_device(from, bytes) != from_device || !to || !from) {
    say("copy of %zu bytes: an address is not %s memory as the call says, or has fewer bytes", bytes,
        to_device && from_device ? "device" : "host or device");
    return INVALID_VALUE;
  }
  return issue(s, [=] {
    memmove(reinterpret_cast<void*>(to), reinterpret_cast<void*>(from), bytes);
    return SUCCESS;
  });
}

// Waits for the null stream.
static CUresult finish(CUresult issued) {
  const Stream& s = driver().null_stream;
  return issued ? issued : force({s.queue, s.queue->issued});
}

static CUresult copy_now(CUdeviceptr to, CUdeviceptr from, size_t bytes, bool to_device, bool from_device) {
  if (const CUresult r = forbidden_in_capture()) return r;
  return finish(copy(nullptr, to, from, bytes, to_device, from_device));
}

static CUdeviceptr host(const void* p) { return reinterpret_cast<CUdeviceptr>(p); }

API cuMemcpyHtoD_v2(CUdeviceptr to, const void* from, size_t bytes) {
  ENTER(CONTEXT);
  return copy_now(to, host(from), bytes, true, false);
}

API cuMemcpyDtoH_v2(void* to, CUdeviceptr from, size_t bytes) {
  ENTER(CONTEXT);
  return copy_now(host(to), from, bytes, false, true);
}

API cuMemcpyDtoD_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes) {
  ENTER(CONTEXT);
  return copy_now(to, from, bytes, true, true);
}

API cuMemcpy(CUdeviceptr to, CUdeviceptr from, size_t bytes) {
  ENTER(CONTEXT);
  return copy_now(to, from, bytes, on_device(to, bytes), on_device(from, bytes));
}

API cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void* from, size_t bytes, void* stream) {
  ENTER(CONTEXT);
  return copy(stream, to, host(from), bytes, true, false);
}

API cuMemcpyDtoHAsync_v2(void* to, CUdeviceptr from, size_t bytes, void* stream) {
  ENTER(CONTEXT);
  return copy(stream, host(to), from, bytes, false, true);
}

API cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes, void* stream) {
  ENTER(CONTEXT);
  return copy(stream, to, from, bytes, true, true);
}

API cuMemcpyAsync(CUdeviceptr to, CUdeviceptr from, size_t bytes, void* stream) {
  ENTER(CONTEXT);
  return copy(stream, to, from, bytes, on_device(to, bytes), on_device(from, bytes));
}

template <class T>
static CUresult fill(void* stream, CUdeviceptr to, T value, size_t n) {
  Stream* s = find_stream(stream);
  if (!s) return INVALID_HANDLE;
  if (n == 0) return SUCCESS;
  if (!on_device(to, n * sizeof(T)) || to % sizeof(T) != 0) return INVALID_VALUE;
  return issue(s, [=] {
    T* p = reinterpret_cast<T*>(to);
    for (size_t i = 0; i < n; i++) p[i] = value;
    return SUCCESS;
  });
}

template <class T>
static CUresult fill_now(CUdeviceptr to, T value, size_t n) {
  if (const CUresult r = forbidden_in_capture()) return r;
  return finish(fill(nullptr, to, value, n));
}

API cuMemsetD8_v2(CUdeviceptr to, unsigned char value, size_t n) {
  ENTER(CONTEXT);
  return fill_now(to, value, n);
}

API cuMemsetD16_v2(CUdeviceptr to, unsigned short value, size_t n) {
  ENTER(CONTEXT);
  return fill_now(to, value, n);
}

API cuMemsetD32_v2(CUdeviceptr to, unsigned value, size_t n) {
  ENTER(CONTEXT);
  return fill_now(to, value, n);
}

API cuMemsetD8Async(CUdeviceptr to, unsigned char value, size_t n, void* stream) {
  ENTER(CONTEXT);
  return fill(stream, to, value, n);
}

API cuMemsetD16Async(CUdeviceptr to, unsigned short value, size_t n, void* stream) {
  ENTER(CONTEXT);
  return fill(stream, to, value, n);
}

API cuMemsetD32Async(CUdeviceptr to, unsigned value, size_t n, void* stream) {
  ENTER(CONTEXT);
  return fill(stream, to, value, n);
}
