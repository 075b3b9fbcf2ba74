// Streams and events. Streams are lazy: work runs when something waits for it, and then, by chance, work of other streams
// before it. So work that should have been waited for is either not done or done too early, and the result shows it.
#include "driver.hpp"

#include <pthread.h>
#include <time.h>

namespace emu {
namespace {
bool ready(const Queue& q) {
  if (q.waiting.empty()) return false;
  for (const Point& p : q.waiting.front().after)
    if (!p.reached()) return false;
  return true;
}

CUresult run_first(Queue* q) {
  const Operation& first = q->waiting.front();
  const CUresult r = first.run ? first.run() : SUCCESS;
  if (r == NOT_READY) return SUCCESS;
  q->waiting.pop_front();
  q->done++;
  driver().steps++;
  if (r) driver().sticky = r;
  return r;
}

// Runs a piece of the work of any stream that has some which can run.
CUresult run_any() {
  std::vector<Queue*> can;
  for (const auto& s : driver().streams)
    if (ready(*s.second->queue)) can.push_back(s.second->queue.get());
  if (ready(*driver().null_stream.queue)) can.push_back(driver().null_stream.queue.get());
  shuffle(&can);
  const uint64_t before = driver().steps;
  for (Queue* q : can) {
    const CUresult r = run_first(q);
    if (r || driver().steps != before) return r;
  }
  return SUCCESS;
}

// Runs a piece of what must be done before the point is reached. What an operation waits for was issued before it, so this ends.
CUresult run_towards(const Point& point) {
  for (const Point& p : point.queue->waiting.front().after)
    if (!p.reached()) return run_towards(p);
  return run_first(point.queue.get());
}

double seconds() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

enum { NON_BLOCKING = 1 };

// The null stream and streams that are not NON_BLOCKING wait for each other.
std::vector<Point> implied(const Stream* s) {
  std::vector<Point> after;
  Driver& d = driver();
  if (s == &d.null_stream) {
    for (const auto& other : d.streams)
      if (!(other.second->flags & NON_BLOCKING)) after.push_back({other.second->queue, other.second->queue->issued});
  } else if (!(s->flags & NON_BLOCKING)) {
    after.push_back({d.null_stream.queue, d.null_stream.queue->issued});
  }
  return after;
}

void append(Queue* q, Operation o) {
  q->waiting.push_back(std::move(o));
  q->issued++;
}

Event* find_event(void* handle) {
  const auto found = driver().events.find(static_cast<Event*>(handle));
  return found == driver().events.end() ? nullptr : found->second.get();
}
}  // namespace

uint64_t this_thread() { return static_cast<uint64_t>(pthread_self()); }

Stream* find_stream(void* handle) {
  if (reinterpret_cast<uintptr_t>(handle) <= 2) return &driver().null_stream;
  const auto found = driver().streams.find(static_cast<Stream*>(handle));
  return found == driver().streams.end() ? nullptr : found->second.get();
}

void shuffle(std::vector<Queue*>* queues) {
  for (size_t i = queues->size(); i > 0; i--) std::swap((*queues)[i - 1], (*queues)[draw(i)]);
}

void trace(const Stream* s, const std::string& what) {
  Driver& d = driver();
  if (d.traces) d.trace.push_back(std::to_string(s->number) + (s->capture ? " captured " : " ") + what);
}

CUresult issue(Stream* s, std::function<CUresult()> run) {
  if (s->capture) {
    if (s->capture->invalid) return CAPTURE_INVALIDATED;
    append(s->capture_queue.get(), {{}, std::move(run)});
    return SUCCESS;
  }
  append(s->queue.get(), {implied(s), std::move(run)});
  return SUCCESS;
}

CUresult force(const Point& point) {
  const Driver& d = driver();
  const bool wander = draw(2);  // else only what must run does
  while (!point.reached()) {
    if (d.sticky) return d.sticky;
    const uint64_t before = d.steps;
    CUresult r = wander && draw(2) ? run_any() : SUCCESS;
    if (!r && d.steps == before) r = run_towards(point);
    if (!r && d.steps == before) r = run_any();  // it waits for another rank, whose device goes on
    if (r) return r;
    if (d.steps == before) wait_for_calls();
  }
  return SUCCESS;
}

CUresult force_all(int device) {
  Driver& d = driver();
  std::vector<Point> ends = {{d.null_stream.queue, d.null_stream.queue->issued}};
  for (const auto& s : d.streams)
    if (s.second->device == device) ends.push_back({s.second->queue, s.second->queue->issued});
  for (size_t i = ends.size(); i > 0; i--) {
    std::swap(ends[i - 1], ends[draw(i)]);
    if (const CUresult r = force(ends[i - 1])) return r;
  }
  return SUCCESS;
}
}  // namespace emu

using namespace emu;

API cuStreamCreateWithPriority(void** stream, unsigned flags, int priority) {
  ENTER(CONTEXT);
  auto s = std::make_unique<Stream>();
  s->device = current_device();
  s->number = ++driver().stream_numbers;
  s->flags = flags;
  s->priority = priority;
  *stream = s.get();
  driver().streams[s.get()] = std::move(s);
  return SUCCESS;
}

API cuStreamCreate(void** stream, unsigned flags) { return cuStreamCreateWithPriority(stream, flags, 0); }

API cuStreamDestroy_v2(void* stream) {
  ENTER(CONTEXT);
  Stream* s = find_stream(stream);
  if (!s || s == &driver().null_stream) return INVALID_HANDLE;
  if (s->capture) s->capture->invalid = true;
  const CUresult r = force({s->queue, s->queue->issued});
  driver().streams.erase(s);
  return r;
}

API cuStreamSynchronize(void* stream) {
  ENTER(CONTEXT);
  Stream* s = find_stream(stream);
  if (!s) return INVALID_HANDLE;
  if (s->capture) {
    s->capture->invalid = true;
    return CAPTURE_UNSUPPORTED;
  }
  return force({s->queue, s->queue->issued});
}

API cuStreamQuery(void* stream) {
  ENTER(CONTEXT);
  Stream* s = find_stream(stream);
  if (!s) return INVALID_HANDLE;
  if (s->capture) {
    s->capture->invalid = true;
    return CAPTURE_UNSUPPORTED;
  }
  if (s->queue->waiting.empty()) return SUCCESS;
  const CUresult r = run_any();  // who asks again and again sees it end
  return r ? r : NOT_READY;
}

API cuStreamGetFlags(void* stream, unsigned* flags) {
  ENTER(CONTEXT);
  const Stream* s = find_stream(stream);
  if (!s) return INVALID_HANDLE;
  *flags = s->flags;
  return SUCCESS;
}

API cuStreamGetPriority(void* stream, int* priority) {
  ENTER(CONTEXT);
  const Stream* s = find_stream(stream);
  if (!s) return INVALID_HANDLE;
  *priority = s->priority;
  return SUCCESS;
}

API cuStreamWaitEvent(void* stream, void* event, unsigned) {
  ENTER(CONTEXT);
  Stream* s = find_stream(stream);
  const Event* e = find_event(event);
  if (!s || !e) return INVALID_HANDLE;
  trace(s, "waits for " + std::to_string(e->stream));
  if (!e->recorded) return SUCCESS;
  if (e->capture) {
    if (s->capture && s->capture != e->capture) return CAPTURE_MERGE;
    if (!s->capture) {  // the stream joins
      s->capture = e->capture;
      s->capture_queue = std::make_shared<Queue>();
      e->capture->queues.push_back(s->capture_queue);
    }
    append(s->capture_queue.get(), {{e->point}, nullptr});
    return SUCCESS;
  }
  if (e->captured) return CAPTURED_EVENT;
  if (s->capture) {
    s->capture->invalid = true;
    return CAPTURE_ISOLATION;
  }
  append(s->queue.get(), {{e->point}, nullptr});
  return SUCCESS;
}

API cuLaunchHostFunc(void* stream, void (*f)(void*), void* data) {
  ENTER(CONTEXT);
  Stream* s = find_stream(stream);
  if (!s || !f) return INVALID_HANDLE;
  return issue(s, [=] {
    f(data);
    return SUCCESS;
  });
}

API cuEventCreate(void** event, unsigned flags) {
  ENTER(CONTEXT);
  auto e = std::make_unique<Event>();
  e->flags = flags;
  *event = e.get();
  driver().events[e.get()] = std::move(e);
  return SUCCESS;
}

API cuEventDestroy_v2(void* event) {
  ENTER(CONTEXT);
  return driver().events.erase(static_cast<Event*>(event)) ? SUCCESS : INVALID_HANDLE;
}

API cuEventRecord(void* event, void* stream) {
  ENTER(CONTEXT);
  Event* e = find_event(event);
  Stream* s = find_stream(stream);
  if (!e || !s) return INVALID_HANDLE;
  e->capture = s->capture;
  e->captured = s->capture != nullptr;
  e->stream = s->number;
  if (s->capture) {
    if (s->capture->invalid) return CAPTURE_INVALIDATED;
    e->recorded = true;
    e->point = {s->capture_queue, s->capture_queue->issued};
    return SUCCESS;
  }
  const std::shared_ptr<double> at = std::make_shared<double>();
  if (const CUresult r = issue(s, [at] {
        *at = seconds();
        return SUCCESS;
      }))
    return r;
  e->recorded = true;
  e->at = at;
  e->point = {s->queue, s->queue->issued};
  return SUCCESS;
}

// In a capture with EXTERNAL, the event is recorded by the graph, each time that it runs.
API cuEventRecordWithFlags(void* event, void* stream, unsigned flags) {
  enum { EXTERNAL = 1 };
  if (!(flags & EXTERNAL)) return cuEventRecord(event, stream);
  ENTER(CONTEXT);
  Event* e = find_event(event);
  Stream* s = find_stream(stream);
  if (!e || !s) return INVALID_HANDLE;
  if (!s->capture) return INVALID_VALUE;
  e->capture = nullptr;
  e->captured = false;
  e->recorded = true;
  e->point = {};
  e->at = std::make_shared<double>();
  return issue(s, [at = e->at] {
    *at = seconds();
    return SUCCESS;
  });
}

API cuEventQuery(void* event) {
  ENTER(CONTEXT);
  const Event* e = find_event(event);
  if (!e) return INVALID_HANDLE;
  if (e->captured) return CAPTURED_EVENT;
  if (!e->recorded || e->point.reached()) return SUCCESS;
  const CUresult r = run_any();
  return r ? r : NOT_READY;
}

API cuEventSynchronize(void* event) {
  ENTER(CONTEXT);
  const Event* e = find_event(event);
  if (!e) return INVALID_HANDLE;
  if (e->captured) return CAPTURED_EVENT;
  return e->recorded ? force(e->point) : SUCCESS;
}

enum { DISABLE_TIMING = 2 };

static CUresult elapsed(float* milliseconds, void* start, void* end) {
  const Event *a = find_event(start), *b = find_event(end);
  if (!a || !b || !a->recorded || !b->recorded || ((a->flags | b->flags) & DISABLE_TIMING)) return INVALID_HANDLE;
  if (a->captured || b->captured) return CAPTURED_EVENT;
  if (!a->point.reached() || !b->point.reached()) return NOT_READY;
  *milliseconds = static_cast<float>((*b->at - *a->at) * 1e3);
  return SUCCESS;
}

API cuEventElapsedTime(float* milliseconds, void* start, void* end) {
  ENTER(CONTEXT);
  return elapsed(milliseconds, start, end);
}

API cuEventElapsedTime_v2(float* milliseconds, void* start, void* end) {
  ENTER(CONTEXT);
  return elapsed(milliseconds, start, end);
}
