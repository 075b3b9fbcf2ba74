// The emulated driver: what its files share. All of its state is guarded by one lock, which every function of the API
// holds, save while it waits for another one's call; only the workers, which run blocks, are outside it.
#pragma once
#include <stddef.h>
#include <stdint.h>

#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "kernel.hpp"

// The names and numbers of cuda.h that are needed here.
typedef int CUresult;
typedef int CUdevice;
typedef uint64_t CUdeviceptr;
enum : CUresult {
  SUCCESS = 0,
  INVALID_VALUE = 1,
  OUT_OF_MEMORY = 2,
  NOT_INITIALIZED = 3,
  INVALID_DEVICE = 101,
  INVALID_IMAGE = 200,
  INVALID_CONTEXT = 201,
  INVALID_HANDLE = 400,
  NOT_FOUND = 500,
  NOT_READY = 600,
  ILLEGAL_ADDRESS = 700,
  LAUNCH_OUT_OF_RESOURCES = 701,
  LAUNCH_FAILED = 719,
  NOT_SUPPORTED = 801,
  CAPTURE_UNSUPPORTED = 900,
  CAPTURE_INVALIDATED = 901,
  CAPTURE_MERGE = 902,
  CAPTURE_UNMATCHED = 903,
  CAPTURE_UNJOINED = 904,
  CAPTURE_ISOLATION = 905,
  CAPTURED_EVENT = 907,
  CAPTURE_WRONG_THREAD = 908,
};

namespace emu {
enum { WORKERS = 2 };  // blocks run at once; build.go has it too
enum { MAX_DEVICES = 8 };

struct Queue;

// A point in a queue: behind its first `done` operations.
struct Point {
  std::shared_ptr<Queue> queue;
  uint64_t done = 0;
  bool reached() const;
};

// Work in a queue. It runs when all points are reached that it waits for. Where it returns NOT_READY it stays the next in its
// queue and runs again: some of it may be done, or another rank must do something first.
struct Operation {
  std::vector<Point> after;
  std::function<CUresult()> run;
};

struct Queue {
  std::deque<Operation> waiting;
  uint64_t issued = 0, done = 0;
};

inline bool Point::reached() const { return !queue || queue->done >= done; }

// A capture in progress, then a graph: queues that have not run. The first is that of the stream it started on.
struct Graph {
  std::vector<std::shared_ptr<Queue>> queues;
  int mode = 0;
  uint64_t thread = 0;  // that started the capture
  bool invalid = false;
  bool ended = false;
  bool running = false;
  ~Graph() {
    for (const auto& q : queues) q->waiting.clear();  // whose points may hold each other's queues
  }
};

// An instantiated graph.
struct Executable {
  std::shared_ptr<Graph> graph;
};

struct Stream {
  int device = 0, number = 0;
  std::shared_ptr<Queue> queue = std::make_shared<Queue>();
  unsigned flags = 0;
  int priority = 0;
  std::shared_ptr<Graph> capture;        // NULL unless it is being captured,
  std::shared_ptr<Queue> capture_queue;  // into this queue
  bool captures_first = false;           // the capture started here
};

struct Event {
  unsigned flags = 0;
  int stream = 0;  // number of the one it was recorded on
  bool recorded = false;
  Point point;
  bool captured = false;                                    // not to be used outside of the capture
  std::shared_ptr<Graph> capture;                           // that it was recorded in, while it goes on
  std::shared_ptr<double> at = std::make_shared<double>();  // seconds, once it is reached
};

struct Function {
  const Kernel* kernel[WORKERS];  // in each worker's library
  int max_shared = DEFAULT_SHARED;
};

struct Module {
  std::map<std::string, std::unique_ptr<Function>> functions;
};

struct Allocation {
  size_t bytes;
  char *map, *map_end;  // with what guards it
};

// All that the driver holds.
struct Driver {
  std::mutex lock;
  std::condition_variable_any called;  // some function has ended
  uint64_t steps = 0;                  // pieces of work that ran
  uint64_t seed = 1, random = 1;
  size_t total = size_t{4} << 30, used = 0;
  std::map<CUdeviceptr, Allocation> device;  // by address
  std::map<char*, size_t> pinned;            // by address
  std::map<Stream*, std::unique_ptr<Stream>> streams;
  std::map<Event*, std::unique_ptr<Event>> events;
  std::map<Module*, std::unique_ptr<Module>> modules;
  std::map<Graph*, std::shared_ptr<Graph>> graphs;
  std::map<Executable*, std::unique_ptr<Executable>> executables;
  std::vector<std::weak_ptr<Graph>> captures;
  Stream null_stream;
  int devices = 1, primary_users[MAX_DEVICES] = {};
  int stream_numbers = 0;
  bool traces = false;
  std::vector<std::string> trace;
  CUresult sticky = SUCCESS;  // what every call returns since something failed on the device
  std::string fail_function;  // FailAt
  int fail_calls = 0;
  CUresult fail_result = SUCCESS;
};
Driver& driver();

// A shuffled number below n.
uint64_t draw(uint64_t n);

// Writes to stderr, a line with "emulator: " before it.
__attribute__((format(printf, 1, 2))) void say(const char* format, ...);

// What every function does first. It needs a current context unless that is ANY, and returns a device's error.
enum Needs { NOTHING, CONTEXT };
CUresult enter(const char* function, Needs);
int current_device();

// Lets other threads call until one has. A thread that waits for long says so.
void wait_for_calls();

// Holds the lock.
struct Guard {
  Guard() { driver().lock.lock(); }
  ~Guard() {
    driver().lock.unlock();
    driver().called.notify_all();
  }
};

// driver_memory.cpp
// Whether [p, p + bytes) is device memory of one allocation.
bool on_device(CUdeviceptr p, size_t bytes);
CUresult check_guards();
void free_all();

// driver_stream.cpp
Stream* find_stream(void* handle);  // NULL if there is none; handles 0 to 2 are the null stream
uint64_t this_thread();
// Appends work to a stream, or to the graph that it is captured into.
CUresult issue(Stream*, std::function<CUresult()>);
// Notes what is issued to a stream, if a test wants to know.
void trace(const Stream*, const std::string& what);
CUresult force(const Point&);  // runs what must run until the point is reached
CUresult force_all(int device = current_device());
CUresult run_graph(Graph&);  // a part; NOT_READY where there is more
void shuffle(std::vector<Queue*>*);
// Whether a capture in progress forbids a call that would wait or allocate; such a call breaks the capture.
CUresult forbidden_in_capture();

// driver_workers.cpp
bool open_kernels();  // and starts the workers, once; false if the libraries are not there
const Kernel* find_kernel(int worker, const char* name);  // NULL if there is none
// Runs all blocks of a launch, whose kernel is that of the function. *why says what went wrong.
Outcome run_blocks(const Function&, const Launch&, std::string* why);
}  // namespace emu

#define API extern "C" __attribute__((visibility("default"))) CUresult
#define ENTER(needs) \
  emu::Guard guard;  \
  if (const CUresult entered = emu::enter(__func__, emu::needs)) return entered
