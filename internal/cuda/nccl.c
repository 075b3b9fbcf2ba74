// Opens the library and calls it.
#include "nccl.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "library.h"
#include "nccl_api.h"

struct senet_nccl {
  nccl_api api;
  ncclComm_t comm;
};

static int fail(senet_nccl_error* e, const char* format, ...) {
  va_list args;
  va_start(args, format);
  vsnprintf(e->text, sizeof e->text, format, args);
  va_end(args);
  e->lost = 0;
  return 1;
}

// Checks the result of a call. A network that fails and a rank that is gone look alike from here.
static int check(const nccl_api* api, ncclComm_t comm, senet_nccl_error* e, const char* what, int result) {
  if (result == ncclSuccess || result == ncclInProgress) return 0;
  const char *name = api->GetErrorString(result), *detail = api->GetLastError ? api->GetLastError(comm) : NULL;
  const int said = detail && *detail;
  fail(e, "%s: %s (%d)%s%s", what, name ? name : "unknown result", result, said ? ": " : "", said ? detail : "");
  e->lost = comm && (result == ncclRemoteError || result == ncclSystemError);
  return 1;
}

static int check_version(const nccl_api* api, const char* path, senet_nccl_error* e) {
  int v = 0;
  if (api->GetVersion(&v) != ncclSuccess) return fail(e, "%s does not tell its version", path);
  if (v >= 21000) return 0;  // the first with bfloat16; graphs capture it since 2.9
  const int thousands = v < 10000 ? 1000 : 10000;
  return fail(e, "%s is NCCL %d.%d.%d, which is too old: senet needs 2.10 or newer", path, v / thousands,
              v % thousands / 100, v % 100);
}

static int load(const char* path, nccl_api* api, senet_nccl_error* e) {
  e->lost = 0;
  void* library = library_open(path, e->text, sizeof e->text);
  if (!library) return 1;
  const library_function functions[] = {
      {"ncclGetVersion", &api->GetVersion, 0},     {"ncclGetErrorString", &api->GetErrorString, 0},
      {"ncclGetLastError", &api->GetLastError, 1}, {"ncclGetUniqueId", &api->GetUniqueId, 0},
      {"ncclCommInitRank", &api->CommInitRank, 0}, {"ncclCommGetAsyncError", &api->CommGetAsyncError, 0},
      {"ncclCommAbort", &api->CommAbort, 0},       {"ncclCommDestroy", &api->CommDestroy, 0},
      {"ncclAllReduce", &api->AllReduce, 0},       {"ncclAllGather", &api->AllGather, 0},
  };
  const size_t count = sizeof functions / sizeof *functions;
  return library_find(library, path, functions, count, e->text, sizeof e->text) || check_version(api, path, e);
}

int senet_nccl_version(const char* path, int* version, senet_nccl_error* e) {
  nccl_api api;
  if (load(path, &api, e)) return 1;
  return check(&api, NULL, e, "tell the version", api.GetVersion(version));
}

int senet_nccl_unique_id(const char* path, char id[SENET_NCCL_ID], senet_nccl_error* e) {
  nccl_api api;
  ncclUniqueId u;
  if (load(path, &api, e) || check(&api, NULL, e, "make the job's id", api.GetUniqueId(&u))) return 1;
  memcpy(id, u.internal, sizeof u.internal);
  return 0;
}

int senet_nccl_join(const char* path, const char id[SENET_NCCL_ID], int ranks, int rank, senet_nccl** out,
                    senet_nccl_error* e) {
  senet_nccl* c = calloc(1, sizeof *c);
  if (!c) return fail(e, "out of memory");
  ncclUniqueId u;
  memcpy(u.internal, id, sizeof u.internal);
  if (load(path, &c->api, e) ||
      check(&c->api, NULL, e, "join the job", c->api.CommInitRank(&c->comm, ranks, u, rank))) {
    free(c);
    return 1;
  }
  *out = c;
  return 0;
}

int senet_nccl_issue(senet_nccl* c, int kind, uint64_t from, uint64_t to, size_t count, int type, uint64_t stream,
                     senet_nccl_error* e) {
  const void* a = (const void*)(uintptr_t)from;
  void *b = (void*)(uintptr_t)to, *s = (void*)(uintptr_t)stream;
  const int t = type == SENET_NCCL_BF16 ? ncclBfloat16 : ncclFloat32;
  if (kind == SENET_NCCL_GATHER) {
    return check(&c->api, c->comm, e, "gather over ranks", c->api.AllGather(a, b, count, t, c->comm, s));
  }
  return check(&c->api, c->comm, e, "sum over ranks", c->api.AllReduce(a, b, count, t, ncclSum, c->comm, s));
}

int senet_nccl_failed(senet_nccl* c, senet_nccl_error* e) {
  int error = ncclSuccess;
  int result = c->api.CommGetAsyncError(c->comm, &error);
  if (!check(&c->api, c->comm, e, "reach the other ranks", result != ncclSuccess ? result : error)) return 0;
  e->lost = 1;
  return 1;
}

int senet_nccl_leave(senet_nccl* c, senet_nccl_error* e) {
  return check(&c->api, NULL, e, "leave the job", c->api.CommDestroy(c->comm));
}

int senet_nccl_abort(senet_nccl* c, senet_nccl_error* e) {
  return check(&c->api, NULL, e, "break off the job", c->api.CommAbort(c->comm));
}
