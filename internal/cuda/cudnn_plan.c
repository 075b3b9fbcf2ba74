// Engines that can run a convolution, plans, and runs.
#include "cudnn_build.h"

#include <stdlib.h>

struct senet_cudnn_plan {
  senet_cudnn* c;
  senet_cudnn_conv conv;
  builder parts;
  cudnnBackendDescriptor_t plan;
};

struct senet_cudnn_run {
  senet_cudnn_plan* plan;
  builder parts;
  cudnnBackendDescriptor_t pack;
};

static uint32_t notes_of(builder* b, cudnnBackendDescriptor_t engine, int attribute, int type) {
  int notes[32];
  int64_t count = get(b, engine, attribute, type, 32, notes);
  uint32_t bits = 0;
  for (int64_t i = 0; i < count; i++)
    if (notes[i] >= 0 && notes[i] < 32) bits |= 1u << notes[i];
  return bits;
}

// describe reads an engine out of a configuration of the heuristic.
static void describe(builder* b, cudnnBackendDescriptor_t config, senet_cudnn_engine* e) {
  int keep = b->count;
  *e = (senet_cudnn_engine){0};
  cudnnBackendDescriptor_t engine = new_descriptor(b, CUDNN_BACKEND_ENGINE_DESCRIPTOR, "engine");
  get(b, config, CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &engine);
  get(b, engine, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1, &e->index);
  e->notes = notes_of(b, engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE);
  e->behavior = notes_of(b, engine, CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE, CUDNN_TYPE_BEHAVIOR_NOTE);
  // cuDNN does not tell how many choices there are, only how many of those offered it filled in.
  cudnnBackendDescriptor_t choices[SENET_CUDNN_KNOBS];
  for (int i = 0; i < SENET_CUDNN_KNOBS; i++)
    choices[i] = new_descriptor(b, CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR, "knob of the engine");
  int64_t count =
      get(b, config, CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, CUDNN_TYPE_BACKEND_DESCRIPTOR, SENET_CUDNN_KNOBS, choices);
  for (int64_t i = 0; i < count && !b->failed; i++) {
    get(b, choices[i], CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, CUDNN_TYPE_KNOB_TYPE, 1, &e->knob[i].type);
    get(b, choices[i], CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, CUDNN_TYPE_INT64, 1, &e->knob[i].value);
    e->knobs++;
  }
  builder_free(b, keep);
}

int senet_cudnn_engines(senet_cudnn* c, const senet_cudnn_conv* conv, int fallback, senet_cudnn_engine* engines,
                        int capacity, int* count, senet_cudnn_error* e) {
  builder b = builder_new(&c->api, e);
  cudnnBackendDescriptor_t graph = conv_graph(&b, c, conv);
  cudnnBackendDescriptor_t heuristic = new_descriptor(&b, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, "heuristic");
  set_descriptor(&b, heuristic, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph);
  set_enum(&b, heuristic, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE,
           fallback ? CUDNN_HEUR_MODE_FALLBACK : CUDNN_HEUR_MODE_A);
  if (c->properties) set_descriptor(&b, heuristic, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, c->properties);
  finish(&b, heuristic);
  int64_t found = get(&b, heuristic, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, NULL);
  if (found > capacity) found = capacity;
  *count = 0;
  if (found > 0) {
    int first = b.count;
    for (int64_t i = 0; i < found; i++)
      new_descriptor(&b, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, "engine of the heuristic");
    found = get(&b, heuristic, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, found, b.made + first);
    for (int64_t i = 0; i < found && !b.failed; i++) {
      describe(&b, b.made[first + i], &engines[i]);
      if (!b.failed) ++*count;
    }
  }
  builder_free(&b, 0);
  return b.failed;
}

// configure builds the configuration of an engine that was described.
static cudnnBackendDescriptor_t configure(builder* b, const senet_cudnn* c, cudnnBackendDescriptor_t graph,
                                          const senet_cudnn_engine* e) {
  cudnnBackendDescriptor_t engine = new_descriptor(b, CUDNN_BACKEND_ENGINE_DESCRIPTOR, "engine");
  set_descriptor(b, engine, CUDNN_ATTR_ENGINE_OPERATION_GRAPH, graph);
  set_int(b, engine, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, e->index);
  if (c->properties) set_descriptor(b, engine, CUDNN_ATTR_ENGINE_DEVICEPROP, c->properties);
  finish(b, engine);
  cudnnBackendDescriptor_t knobs[SENET_CUDNN_KNOBS];
  for (int i = 0; i < e->knobs; i++) {
    knobs[i] = new_descriptor(b, CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR, "knob of the engine");
    set_enum(b, knobs[i], CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, CUDNN_TYPE_KNOB_TYPE, e->knob[i].type);
    set_int(b, knobs[i], CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, e->knob[i].value);
    finish(b, knobs[i]);
  }
  cudnnBackendDescriptor_t config = new_descriptor(b, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, "settings of the engine");
  set_descriptor(b, config, CUDNN_ATTR_ENGINECFG_ENGINE, engine);
  if (e->knobs > 0) set(b, config, CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, CUDNN_TYPE_BACKEND_DESCRIPTOR, e->knobs, knobs);
  finish(b, config);
  return config;
}

int senet_cudnn_plan_new(senet_cudnn* c, const senet_cudnn_conv* conv, const senet_cudnn_engine* engine,
                         senet_cudnn_plan** out, int64_t* workspace, senet_cudnn_error* e) {
  senet_cudnn_plan* p = calloc(1, sizeof *p);
  if (!p) return fail(e, "out of memory");
  p->c = c;
  p->conv = *conv;
  p->parts = builder_new(&c->api, e);
  builder* b = &p->parts;
  cudnnBackendDescriptor_t graph = conv_graph(b, c, conv);
  cudnnBackendDescriptor_t config = configure(b, c, graph, engine);
  p->plan = new_descriptor(b, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, "plan");
  if (c->handle) set(b, p->plan, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &c->handle);
  if (c->properties) set_descriptor(b, p->plan, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, c->properties);
  set_descriptor(b, p->plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, config);
  finish(b, p->plan);
  *workspace = 0;
  get(b, p->plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, workspace);
  if (b->failed) {
    senet_cudnn_plan_free(p);
    return 1;
  }
  b->e = NULL;
  *out = p;
  return 0;
}

void senet_cudnn_plan_free(senet_cudnn_plan* p) {
  builder_free(&p->parts, 0);
  free(p);
}

int senet_cudnn_run_new(senet_cudnn_plan* p, const senet_cudnn_operands* o, uint64_t workspace, senet_cudnn_run** out,
                        senet_cudnn_error* e) {
  senet_cudnn_run* r = calloc(1, sizeof *r);
  if (!r) return fail(e, "out of memory");
  r->plan = p;
  r->parts = builder_new(&p->c->api, e);
  int64_t uids[SENET_CUDNN_MAX_OPERANDS];
  int count = operand_uids(&p->conv, uids), used = 3;
  uint64_t addresses[SENET_CUDNN_MAX_OPERANDS] = {o->input, o->weight, o->output};
  if (p->conv.bias) addresses[used++] = o->bias;
  if (p->conv.gate) addresses[used++] = o->gate;
  if (p->conv.residual) addresses[used++] = o->residual;
  builder* b = &r->parts;
  r->pack = new_descriptor(b, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, "addresses");
  set(b, r->pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, count, uids);
  set(b, r->pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, count, addresses);
  set(b, r->pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace);
  finish(b, r->pack);
  if (b->failed) {
    senet_cudnn_run_free(r);
    return 1;
  }
  b->e = NULL;
  *out = r;
  return 0;
}

int senet_cudnn_run_now(senet_cudnn_run* r, senet_cudnn_error* e) {
  const senet_cudnn* c = r->plan->c;
  int status = c->api.BackendExecute(c->handle, r->plan->plan, r->pack);
  return status == CUDNN_STATUS_SUCCESS ? 0 : fail_status(&c->api, e, "run", status);
}

void senet_cudnn_run_free(senet_cudnn_run* r) {
  builder_free(&r->parts, 0);
  free(r);
}
