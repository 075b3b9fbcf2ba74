// What a run computes, in plain loops, from nothing but the descriptors of its graph: extents, strides and types of its
// tensors, geometry, alpha and beta, the order of its operations. A plan's workspace is filled with NaN.
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "fake.h"

enum { FLOAT = 0, HALF = 2, BFLOAT16 = 9 };  // types of elements
enum { ADD = 0, MUL = 1, RELU = 100 };       // modes of pointwise operations
enum { MAX_TENSORS = 16, OUTPUT = 3 };       // OUTPUT: the uid of what a convolution is for

// A tensor (d[0], d[1], d[2], d[3]) with its values, dense in that order.
typedef struct {
  int64_t d[4], stride[4], uid;
  int type;
  char* at;  // NULL if it is virtual
  double* v;
} tensor;

typedef struct {
  const descriptor *plan, *pack;
  int64_t workspace;  // bytes
  tensor tensors[MAX_TENSORS];
  int count;
} run;

static int64_t number(const descriptor* d, int name, int i) { return find(d, name)->v.i[i]; }
static const descriptor* child(const descriptor* d, int name) { return find(d, name)->v.d[0]; }

static double load(const char* p, int type) {
  if (type == FLOAT) return *(const float*)p;
  if (type == HALF) return (double)*(const _Float16*)p;
  const uint32_t bits = (uint32_t) * (const uint16_t*)p << 16;
  float f;
  memcpy(&f, &bits, 4);
  return f;
}

static void store(char* p, int type, double x) {
  if (type == FLOAT) {
    *(float*)p = (float)x;
  } else if (type == HALF) {
    *(_Float16*)p = (_Float16)x;
  } else {
    const float f = (float)x;
    uint32_t bits;
    memcpy(&bits, &f, 4);
    *(uint16_t*)p = (uint16_t)(f != f ? 0x7fc0 : (bits + 0x7fff + (bits >> 16 & 1)) >> 16);
  }
}

static int64_t elements(const tensor* t) { return t->d[0] * t->d[1] * t->d[2] * t->d[3]; }

// place is where element i lies.
static char* place(const tensor* t, int64_t i) {
  int64_t at = 0;
  for (int k = 3; k >= 0; i /= t->d[k--]) at += i % t->d[k] * t->stride[k];
  return t->at + at * (t->type == FLOAT ? 4 : 2);
}

// tensor_of is the tensor that a descriptor tells of, its values read where they are in memory.
static tensor* tensor_of(run* r, const descriptor* d) {
  const int64_t uid = number(d, 906, 0);
  for (int i = 0; i < r->count; i++)
    if (r->tensors[i].uid == uid) return &r->tensors[i];
  tensor* t = &r->tensors[r->count++];
  *t = (tensor){0};
  t->uid = uid;
  t->type = find(d, 901)->v.e[0];
  for (int k = 0; k < 4; k++) t->d[k] = number(d, 902, k), t->stride[k] = number(d, 903, k);
  t->v = calloc((size_t)elements(t), sizeof *t->v);
  const attribute *uids = find(r->pack, 1000), *places = find(r->pack, 1001);
  for (int i = 0; i < uids->count && !find(d, 907)->v.b[0]; i++)
    if (uids->v.i[i] == uid) t->at = (char*)(uintptr_t)places->v.i[i];
  for (int64_t i = 0; t->at && i < elements(t); i++) t->v[i] = load(place(t, i), t->type);
  return t;
}

static void write(tensor* t) {
  for (int64_t i = 0; t->at && i < elements(t); i++) store(place(t, i), t->type, t->v[i]);
}

// convolve is alpha times the sum of products of two of x, w and y over every place of the window, which makes the third,
// plus beta times what was there.
static void convolve(run* r, const descriptor* op) {
  static const int first[] = {[FORWARD] = 700, [BWD_FILTER] = 712, [BWD_DATA] = 706};
  const int at = first[op->kind];
  const descriptor* how = child(op, at + 2);
  const float alpha = find(op, at)->v.f[0], beta = find(op, at + 1)->v.f[0];
  tensor *w = tensor_of(r, child(op, at + 3)), *x = tensor_of(r, child(op, at + 4)),
         *y = tensor_of(r, child(op, at + 5)),
         *to = op->kind == FORWARD    ? y
               : op->kind == BWD_DATA ? x
                                      : w;
  const int64_t filters = w->d[0], inputs = w->d[1], groups = x->d[1] / inputs, per_group = filters / groups;
  const int64_t strides[] = {number(how, 103, 0), number(how, 103, 1)},
                pads[] = {number(how, 105, 0), number(how, 105, 1)},
                dilations[] = {number(how, 102, 0), number(how, 102, 1)};
  double* sum = calloc((size_t)elements(to), sizeof *sum);
  for (int64_t i = 0; i < y->d[0] * filters * y->d[2] * y->d[3]; i++) {
    const int64_t q = i % y->d[3], p = i / y->d[3] % y->d[2], k = i / y->d[3] / y->d[2] % filters,
                  n = i / y->d[3] / y->d[2] / filters;
    for (int64_t j = 0; j < inputs * w->d[2] * w->d[3]; j++) {
      const int64_t s = j % w->d[3], t = j / w->d[3] % w->d[2], c = k / per_group * inputs + j / w->d[3] / w->d[2];
      const int64_t row = p * strides[0] - pads[0] + t * dilations[0],
                    column = q * strides[1] - pads[1] + s * dilations[1];
      if (row < 0 || row >= x->d[2] || column < 0 || column >= x->d[3]) continue;
      const int64_t of_x = ((n * x->d[1] + c) * x->d[2] + row) * x->d[3] + column,
                    of_w = k * inputs * w->d[2] * w->d[3] + j;
      if (to == y) sum[i] += x->v[of_x] * w->v[of_w];
      if (to == x) sum[of_x] += y->v[i] * w->v[of_w];
      if (to == w) sum[of_w] += y->v[i] * x->v[of_x];
    }
  }
  for (int64_t i = 0; i < elements(to); i++) to->v[i] = alpha * sum[i] + (beta ? beta * to->v[i] : 0);
  free(sum);
  write(to);
}

// pointwise combines a tensor with another one, which repeats itself where it has one element in a dimension.
static void pointwise(run* r, const descriptor* op) {
  const int mode = find(child(op, 750), 0)->v.e[0];
  tensor *x = tensor_of(r, child(op, 751)), *to = tensor_of(r, child(op, 753));
  const tensor* b = mode == RELU ? NULL : tensor_of(r, child(op, 752));
  for (int64_t i = 0; i < elements(to); i++) {
    int64_t at = 0, rest = i, step = 1;
    for (int k = 3; b && k >= 0; rest /= x->d[k--]) {
      at += b->d[k] == 1 ? 0 : rest % x->d[k] * step;
      step *= b->d[k];
    }
    const double v = x->v[i];
    to->v[i] = mode == ADD ? v + b->v[at] : mode == MUL ? v * b->v[at] : v < 0 ? 0 : v;  // ReLU lets NaN through
  }
  write(to);
}

static void compute(void* data) {
  run r = *(const run*)data;
  const descriptor *settings = child(r.plan, 401), *engine = child(settings, 300);
  const attribute *ops = find(child(engine, 1300), 801), *workspace = find(r.pack, 1003);
  if (r.workspace > 0) memset((void*)(uintptr_t)workspace->v.i[0], 0xff, (size_t)r.workspace);
  for (int i = 0; i < ops->count; i++) {
    if (ops->v.d[i]->kind == OP_POINTWISE) pointwise(&r, ops->v.d[i]);
    else convolve(&r, ops->v.d[i]);
  }
  const char* wrong = getenv("FAKE_CUDNN_WRONG");
  if (wrong && (!strcmp(wrong, "all") || atoi(wrong) == number(engine, 1301, 0))) {
    for (int i = 0; i < r.count; i++) {
      if (r.tensors[i].uid != OUTPUT) continue;
      r.tensors[i].v[0] += 1 + r.tensors[i].v[0];
      write(&r.tensors[i]);
    }
  }
  for (int i = 0; i < r.count; i++) free(r.tensors[i].v);
}

int issue_run(void* stream, const descriptor* plan, const descriptor* pack, int64_t workspace) {
  void* driver = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_NOLOAD);
  int (*launch)(void*, void (*)(void*), void*) = NULL;
  if (driver) *(void**)&launch = dlsym(driver, "cuLaunchHostFunc");
  run* r = calloc(1, sizeof *r);  // kept, as descriptors are: a captured graph runs it again
  r->plan = plan;
  r->pack = pack;
  r->workspace = workspace;
  return !launch || launch(stream, compute, r);
}
