// What fake.c and compute.c share: descriptors with whatever attributes were set.
#pragma once
#include <stdint.h>

enum { OK = 0, BAD_PARAM = 2000, NOT_SUPPORTED = 3000 };
enum { POINTWISE, CONVOLUTION, ENGINE, ENGINECFG, ENGINEHEUR, PLAN, KNOB = 7, FORWARD = 10, BWD_FILTER, BWD_DATA };
enum { OP_POINTWISE = 13, GRAPH = 15, VARIANT_PACK, TENSOR, DEVICEPROP = 38 };

typedef struct attribute {
  struct attribute* next;
  int name, type, count;
  union {  // count of them
    int64_t* i;
    int* e;
    float* f;
    unsigned char* b;
    struct descriptor** d;
    void* any;
  } v;
} attribute;

typedef struct descriptor {
  int kind, final, dead;
  attribute* attributes;
} descriptor;

attribute* find(const descriptor* d, int name);

// Issues to a stream of the emulated driver what a plan computes with the addresses of a variant pack and so many bytes of
// workspace; 0 if it could.
int issue_run(void* stream, const descriptor* plan, const descriptor* pack, int64_t workspace);
