// A libcudnn.so.9 for the tests. It keeps to the rules of the graph API (attributes before finalize, children final,
// nothing used after it is destroyed, no attribute that its table lacks), suggests engines that the table below lists,
// and describes each run in words. Where the handle's stream is the emulated driver's, a run also computes (compute.c).
// The numbers here are written down apart from those of cudnn_api.h on purpose.
//
// FAKE_CUDNN_LOG   file that takes what happened, a line each
// FAKE_CUDNN_FAIL  n: the nth call of a function that can fail, from 1, fails
// FAKE_CUDNN_ENGINES=none: the heuristic suggests nothing
// FAKE_CUDNN_WRONG n: what engine n computes is wrong; all: what each does
// FAKE_CUDNN_VERSION, FAKE_CUDNN_CUDART
#include "fake.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
  int fallback, index, note, compiled, workspace, knobs;
} suggestion;

// Notes: 0 tensor cores, 1 down-converts, 2 sums in low precision, 4 not deterministic; -1 none.
static const suggestion suggestions[] = {{0, 7, 4, 0, 0, 0},  {0, 8, 2, 0, 0, 0},  {0, 41, 0, 0, 1 << 20, 2},
                                         {0, 42, 0, 0, 0, 1}, {0, 50, 0, 1, 0, 0}, {0, 1, 1, 0, 0, 0},
                                         {1, 2, -1, 0, 64, 0}};
enum { SUGGESTIONS = sizeof suggestions / sizeof *suggestions };

#define NO_STREAM ((void*)0x5150)  // of tests that run nothing

static char last[256];
static int calls, handles;
static void* current_stream;

static void say(const char* format, ...) {
  const char* path = getenv("FAKE_CUDNN_LOG");
  FILE* f = path ? fopen(path, "a") : NULL;
  if (!f) return;
  va_list args;
  va_start(args, format);
  vfprintf(f, format, args);
  va_end(args);
  fclose(f);
}

static int refuse(int status, const char* why) {
  snprintf(last, sizeof last, "%s", why);
  return status;
}

static int unlucky(void) {
  const char* n = getenv("FAKE_CUDNN_FAIL");
  return ++calls == (n ? atoi(n) : 0) && refuse(NOT_SUPPORTED, "as the test wants");
}

static int number(const char* name, int otherwise) { return getenv(name) ? atoi(getenv(name)) : otherwise; }

size_t cudnnGetVersion(void) {
  calls = 0;  // each opening of the library counts anew
  return (size_t)number("FAKE_CUDNN_VERSION", 92800);
}
size_t cudnnGetCudartVersion(void) { return (size_t)number("FAKE_CUDNN_CUDART", 77000); }
const char* cudnnGetErrorString(int status) {
  return status == BAD_PARAM ? "CUDNN_STATUS_BAD_PARAM" : "CUDNN_STATUS_NOT_SUPPORTED";
}
void cudnnGetLastErrorString(char* text, size_t size) { snprintf(text, size, "%s", last); }

int cudnnCreate(void** handle) {
  if (unlucky()) return NOT_SUPPORTED;
  *handle = &handles;
  say("new handle\n");
  return OK;
}

int cudnnDestroy(void* handle) {
  say("free handle\n");
  return unlucky() || handle != &handles ? NOT_SUPPORTED : OK;
}

int cudnnSetStream(void* handle, void* stream) {
  if (unlucky() || handle != &handles) return NOT_SUPPORTED;
  say("stream %p\n", stream);
  current_stream = stream;
  return OK;
}

int cudnnBackendCreateDescriptor(int kind, void** out) {
  if (unlucky()) return NOT_SUPPORTED;
  descriptor* d = calloc(1, sizeof *d);
  d->kind = kind;
  *out = d;
  say("new %d\n", kind);
  return OK;
}

int cudnnBackendDestroyDescriptor(void* p) {
  descriptor* d = p;
  say(d->dead ? "destroyed twice %d\n" : "free %d\n", d->kind);
  d->dead = 1;  // and kept, so that a later use shows
  return OK;
}

attribute* find(const descriptor* d, int name) {
  for (attribute* a = d->attributes; a; a = a->next)
    if (a->name == name) return a;
  return NULL;
}

static size_t size_of(int type) {
  switch (type) {
    case 2:
    case 24:
      return 1;
    case 1:
    case 4:
    case 7:
    case 8:
    case 9:
    case 10:
    case 11:
    case 14:
    case 19:
      return 4;
  }
  return 8;
}

static void put(descriptor* d, int name, int type, int64_t count, const void* values) {
  attribute* a = find(d, name);
  if (!a) {
    a = calloc(1, sizeof *a);
    a->next = d->attributes;
    d->attributes = a;
  }
  a->name = name;
  a->type = type;
  a->count = (int)count;
  a->v.any = malloc((size_t)count * 8);
  memcpy(a->v.any, values, (size_t)count * size_of(type));
}

// The attributes that each kind of descriptor takes: first to last, and the type of each in order.
static const struct {
  int kind, first;
  const char* types;  // b bool, d data type, D descriptor, i int64, m mode, ...; _ none of ours
} takes[] = {
    {POINTWISE, 0, "mdn"},        {CONVOLUTION, 100, "dciiiii"}, {ENGINE, 1300, "Di_____D"},  {ENGINECFG, 300, "D_D"},
    {ENGINEHEUR, 200, "hD__D"},   {PLAN, 400, "HD_____D"},       {KNOB, 600, "ki"},           {FORWARD, 700, "ffDDDD"},
    {BWD_DATA, 706, "ffDDDD"},    {BWD_FILTER, 712, "ffDDDD"},   {OP_POINTWISE, 750, "DDDD"}, {GRAPH, 800, "HD"},
    {VARIANT_PACK, 1000, "ip_p"}, {TENSOR, 900, "idii__ib"},     {DEVICEPROP, 2700, "__t"}};

static int type_of(const descriptor* d, int name) {
  static const char letters[] = "HdbifpchknmDt", codes[] = {0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 14, 15, 24};
  for (size_t i = 0; i < sizeof takes / sizeof *takes; i++) {
    int at = name - takes[i].first;
    if (takes[i].kind != d->kind || at < 0 || at >= (int)strlen(takes[i].types)) continue;
    char letter = takes[i].types[at];
    const char* found = strchr(letters, letter);
    return found ? codes[found - letters] : -1;
  }
  return -1;
}

int cudnnBackendSetAttribute(void* p, int name, int type, int64_t count, const void* values) {
  descriptor* d = p;
  if (unlucky()) return NOT_SUPPORTED;
  if (d->dead || d->final) return refuse(BAD_PARAM, "set of a final or destroyed descriptor");
  if (type_of(d, name) != type) return refuse(BAD_PARAM, "no such attribute, or of another type");
  if (count < 1) return refuse(BAD_PARAM, "no values");
  if (type == 0 && *(void* const*)values != &handles) return refuse(BAD_PARAM, "another handle");
  if (type == 15)
    for (int64_t i = 0; i < count; i++) {
      descriptor* child = ((descriptor* const*)values)[i];
      if (child->dead || !child->final) return refuse(BAD_PARAM, "a descriptor that is not final");
    }
  put(d, name, type, count, values);
  return OK;
}

static const suggestion* suggested(const descriptor* engine) {
  attribute* index = find(engine, 1301);
  for (int i = 0; index && i < SUGGESTIONS; i++)
    if (suggestions[i].index == index->v.i[0]) return &suggestions[i];
  return NULL;
}

int cudnnBackendFinalize(void* p) {
  descriptor* d = p;
  if (unlucky()) return NOT_SUPPORTED;
  if (d->dead || d->final) return refuse(BAD_PARAM, "finalize of a final or destroyed descriptor");
  if (d->kind == ENGINE && !suggested(d)) return refuse(NOT_SUPPORTED, "no such engine");
  d->final = 1;
  return OK;
}

static int hand(int64_t capacity, int64_t* count, void* values, int64_t have, const void* from, size_t size) {
  *count = have;
  if (values) memcpy(values, from, (size_t)(have < capacity ? have : capacity) * size);
  return OK;
}

static void fill_engine(descriptor* d, const suggestion* s) {
  const int64_t index = s->index;
  put(d, 1301, 3, 1, &index);
  d->final = 1;
}

static int get_results(const descriptor* d, int64_t capacity, int64_t* count, void* values) {
  attribute* mode = find(d, 200);
  const char* engines = getenv("FAKE_CUDNN_ENGINES");
  *count = 0;
  for (int i = 0; i < SUGGESTIONS && !(engines && !strcmp(engines, "none")); i++) {
    if (suggestions[i].fallback != (mode->v.e[0] == 2)) continue;
    if (values && *count < capacity) {
      descriptor* config = ((descriptor**)values)[*count];
      const int64_t at = i;
      put(config, -1, 3, 1, &at);
      config->final = 1;
    }
    ++*count;
  }
  return OK;
}

static int get_config(const descriptor* d, int name, int64_t capacity, int64_t* count, void* values) {
  const suggestion* s = &suggestions[find(d, -1)->v.i[0]];
  *count = name == 300 ? 1 : values ? s->knobs : 0;  // as the real one
  for (int i = 0; values && i < *count && i < capacity; i++) {
    descriptor* child = ((descriptor**)values)[i];
    if (name == 300) {
      fill_engine(child, s);
      continue;
    }
    const int type = 2 + i;
    const int64_t value = 10 * i + 3;
    put(child, 600, 9, 1, &type);
    put(child, 601, 3, 1, &value);
    child->final = 1;
  }
  return OK;
}

static int64_t workspace_of(const descriptor* plan) {
  return suggested(find(find(plan, 401)->v.d[0], 300)->v.d[0])->workspace;
}

int cudnnBackendGetAttribute(void* p, int name, int type, int64_t capacity, int64_t* count, void* values) {
  const descriptor* d = p;
  if (unlucky()) return NOT_SUPPORTED;
  if (d->dead || !d->final) return refuse(BAD_PARAM, "get from a descriptor that is not final");
  const int none = 0;
  if (d->kind == ENGINEHEUR && name == 202 && type == 15) return get_results(d, capacity, count, values);
  if (d->kind == ENGINECFG && (name == 300 || name == 302) && type == 15)
    return get_config(d, name, capacity, count, values);
  if (d->kind == ENGINE && name == 1303 && type == 11)
    return hand(capacity, count, values, suggested(d)->note >= 0, &suggested(d)->note, 4);
  if (d->kind == ENGINE && name == 1305 && type == 19)
    return hand(capacity, count, values, suggested(d)->compiled, &none, 4);
  if (d->kind == PLAN && name == 402 && type == 3) {
    const int64_t bytes = workspace_of(d);
    return hand(capacity, count, values, 1, &bytes, 8);
  }
  attribute* a = find(d, name);
  if (!a || a->type != type) return refuse(BAD_PARAM, "no such attribute");
  return hand(capacity, count, values, a->count, a->v.any, size_of(type));
}

// show describes a descriptor and what hangs on it, attribute by attribute in the order of their numbers.
static void show(const descriptor* d, int indent) {
  static const char* const kinds[] = {
      "pointwise", "convolution",     "engine",        "settings", "heuristic", "plan",  "",          "knob",  "", "",
      "forward",   "backward filter", "backward data", "step",     "",          "graph", "addresses", "tensor"};
  say("%*s%s", indent, "", d->kind == DEVICEPROP ? "device" : kinds[d->kind]);
  for (int pass = 0; pass < 2; pass++)  // numbers on the line, then descriptors below
    for (int name = 0; name < 2800; name++) {
      const attribute* a = find(d, name);
      if (!a || (a->type == 15) != (pass == 1)) continue;
      if (pass == 0) say(" %d:", name);
      for (int i = 0; i < a->count; i++) {
        if (a->type == 15) {
          say("\n%*s%d:", indent + 2, "", name);
          show(a->v.d[i], indent + 3);
        } else if (a->type == 0) {
          say("handle");
        } else if (a->type == 4) {
          say("%g", a->v.f[i]);
        } else if (a->type == 24) {
          say("%c", a->v.b[i] ? a->v.b[i] : '.');
        } else {
          int64_t v = size_of(a->type) == 8 ? a->v.i[i] : size_of(a->type) == 4 ? a->v.e[i] : a->v.b[i];
          say(i ? ",%lld" : "%lld", (long long)v);
        }
      }
    }
}

int cudnnBackendExecute(void* handle, void* plan, void* pack) {
  descriptor *d = plan, *a = pack;
  if (unlucky()) return NOT_SUPPORTED;
  if (handle != &handles || d->dead || a->dead || !d->final || !a->final || d->kind != PLAN || a->kind != VARIANT_PACK)
    return refuse(BAD_PARAM, "execute of something else");
  say("run ");
  show(d, 0);
  say("\n");
  show(a, 0);
  say("\n");
  if (current_stream == NO_STREAM) return OK;
  return issue_run(current_stream, d, a, workspace_of(d)) ? refuse(NOT_SUPPORTED, "not a stream of the emulated driver")
                                                          : OK;
}
