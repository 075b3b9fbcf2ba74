// Stream capture and graphs. A graph keeps the queues of the streams that it was captured from and runs them, like
// streams, in an order that a seed picks.
#include "driver.hpp"

namespace emu {
namespace {
enum { GLOBAL, THREAD_LOCAL, RELAXED };

// Whether the first queue ends behind all work of the others.
bool joined(const Graph& g) {
  std::map<Queue*, uint64_t> reached;  // operations of each that the end of the first is behind
  reached[g.queues[0].get()] = g.queues[0]->issued;
  for (bool more = true; more;) {
    more = false;
    for (const auto& q : g.queues)
      for (uint64_t i = 0; i < reached[q.get()]; i++)
        for (const Point& p : q->waiting[i].after)
          if (reached[p.queue.get()] < p.done) {
            reached[p.queue.get()] = p.done;
            more = true;
          }
  }
  for (const auto& q : g.queues)
    if (reached[q.get()] < q->issued) return false;
  return true;
}

bool runs_next(const Queue& q) {
  if (q.done == q.issued) return false;
  for (const Point& p : q.waiting[q.done].after)
    if (!p.reached()) return false;
  return true;
}
}  // namespace

CUresult forbidden_in_capture() {
  CUresult result = SUCCESS;
  for (const auto& weak : driver().captures) {
    const auto g = weak.lock();
    if (!g || g->ended || g->mode == RELAXED || (g->mode == THREAD_LOCAL && g->thread != this_thread())) continue;
    g->invalid = true;
    result = CAPTURE_UNSUPPORTED;
  }
  return result;
}

CUresult run_graph(Graph& g) {
  Driver& d = driver();
  do {
    std::vector<Queue*> can;
    for (const auto& q : g.queues)
      if (runs_next(*q)) can.push_back(q.get());
    if (can.empty()) return SUCCESS;
    shuffle(&can);
    const uint64_t before = d.steps;
    for (Queue* q : can) {
      const Operation& o = q->waiting[q->done];
      const CUresult r = o.run ? o.run() : SUCCESS;
      if (r != NOT_READY) {
        q->done++;
        d.steps++;
      }
      if (r && r != NOT_READY) return r;
      if (d.steps != before) break;
    }
    if (d.steps == before) return NOT_READY;
  } while (draw(8));  // now and then other streams go on
  return NOT_READY;
}
}  // namespace emu

using namespace emu;

API cuStreamBeginCapture_v2(void* stream, int mode) {
  ENTER(CONTEXT);
  Stream* s = find_stream(stream);
  if (!s) return INVALID_HANDLE;
  if (s == &driver().null_stream) return CAPTURE_UNSUPPORTED;
  if (s->capture || mode < GLOBAL || mode > RELAXED) return INVALID_VALUE;
  s->capture = std::make_shared<Graph>();
  s->capture->mode = mode;
  s->capture->thread = this_thread();
  s->capture_queue = std::make_shared<Queue>();
  s->capture->queues = {s->capture_queue};
  s->captures_first = true;
  driver().captures.push_back(s->capture);
  return SUCCESS;
}

API cuStreamEndCapture(void* stream, void** graph) {
  ENTER(CONTEXT);
  Driver& d = driver();
  Stream* s = find_stream(stream);
  *graph = nullptr;
  if (!s) return INVALID_HANDLE;
  if (!s->capture) return INVALID_VALUE;
  if (!s->captures_first) {
    s->capture->invalid = true;
    return CAPTURE_UNMATCHED;
  }
  const std::shared_ptr<Graph> g = s->capture;
  if (g->mode != RELAXED && g->thread != this_thread()) return CAPTURE_WRONG_THREAD;
  g->ended = true;
  for (const auto& other : d.streams) {
    if (other.second->capture != g) continue;
    other.second->capture = nullptr;
    other.second->capture_queue = nullptr;
    other.second->captures_first = false;
  }
  for (const auto& e : d.events) {
    if (e.second->capture != g) continue;
    e.second->capture = nullptr;
    e.second->point = {};
  }
  std::vector<std::weak_ptr<Graph>> others;
  for (const auto& weak : d.captures)
    if (const auto c = weak.lock())
      if (c != g) others.push_back(c);
  d.captures = others;
  if (g->invalid) return CAPTURE_INVALIDATED;
  if (!joined(*g)) return CAPTURE_UNJOINED;
  d.graphs[g.get()] = g;
  *graph = g.get();
  return SUCCESS;
}

API cuStreamIsCapturing(void* stream, int* status) {
  ENTER(CONTEXT);
  const Stream* s = find_stream(stream);
  if (!s) return INVALID_HANDLE;
  *status = !s->capture ? 0 : s->capture->invalid ? 2 : 1;
  return SUCCESS;
}

API cuGraphGetNodes(void* graph, void** nodes, size_t* count) {
  ENTER(CONTEXT);
  const auto found = driver().graphs.find(static_cast<Graph*>(graph));
  if (found == driver().graphs.end()) return INVALID_HANDLE;
  if (nodes) return NOT_SUPPORTED;
  *count = 0;
  for (const auto& q : found->second->queues)
    for (const Operation& o : q->waiting) *count += o.run != nullptr;
  return SUCCESS;
}

API cuGraphInstantiateWithFlags(void** executable, void* graph, unsigned long long) {
  ENTER(CONTEXT);
  Driver& d = driver();
  const auto found = d.graphs.find(static_cast<Graph*>(graph));
  if (found == d.graphs.end()) return INVALID_HANDLE;
  auto e = std::make_unique<Executable>();
  e->graph = found->second;
  *executable = e.get();
  d.executables[e.get()] = std::move(e);
  return SUCCESS;
}

API cuGraphDestroy(void* graph) {
  ENTER(CONTEXT);
  return driver().graphs.erase(static_cast<Graph*>(graph)) ? SUCCESS : INVALID_HANDLE;
}

API cuGraphExecDestroy(void* executable) {
  ENTER(CONTEXT);
  return driver().executables.erase(static_cast<Executable*>(executable)) ? SUCCESS : INVALID_HANDLE;
}

API cuGraphUpload(void* executable, void* stream) {
  ENTER(CONTEXT);
  const bool known = driver().executables.count(static_cast<Executable*>(executable)) > 0;
  return known && find_stream(stream) ? SUCCESS : INVALID_HANDLE;
}

API cuGraphLaunch(void* executable, void* stream) {
  ENTER(CONTEXT);
  Driver& d = driver();
  const auto found = d.executables.find(static_cast<Executable*>(executable));
  Stream* s = find_stream(stream);
  if (found == d.executables.end() || !s) return INVALID_HANDLE;
  const std::shared_ptr<Graph> g = found->second->graph;
  trace(s, "launches a graph");
  const auto started = std::make_shared<bool>(false);
  return issue(s, [g, started]() -> CUresult {
    if (!*started && g->running) return NOT_READY;  // a graph runs once at a time
    if (!*started)
      for (const auto& q : g->queues) q->done = 0;
    *started = g->running = true;
    const CUresult r = run_graph(*g);
    g->running = r == NOT_READY;
    return r;
  });
}
