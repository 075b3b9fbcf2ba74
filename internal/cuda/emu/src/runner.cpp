// Runs one block: its threads are fibers, taken in an order shuffled by the seed and again at every barrier. A thread runs
// until it waits or ends. So a missing barrier shows: in most orders some thread reads what was not written yet.
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>

#include "emu.hpp"
#include "fiber.hpp"
#include "kernel.hpp"

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace emu {
unsigned char* dynamic_shared;

namespace {
enum State { FRESH, READY, AT_BARRIER, AT_MEETING, ENDED };
const int WARP = 32;

struct Thread {
  State state;
  uint3 index;
  void* sp;     // where it goes on
  char* stack;  // top of its stack
  // While AT_MEETING, and after it the result in value.
  Meeting meeting;
  unsigned mask;
  int from;
  unsigned long long value;
};

Thread threads[MAX_THREADS];
int count, current;     // threads of the block; the one that runs
int at_barrier, ended;  // threads
Stacks stacks;
void* scheduler;       // its stack pointer while a thread runs
const Launch* launch;  // NULL between blocks
Random random_(0);
char trouble[512];  // what went wrong; empty if nothing did
jmp_buf after_fault;
Outcome outcome;

// Threads that can run. Taken from the back, one warp runs ahead of the others until a barrier; from the front, all
// advance together.
struct {
  int list[2 * MAX_THREADS];
  int front, back;
  bool from_back;
  bool empty() const { return front == back; }
  int take() { return from_back ? list[--back] : list[front++]; }
  void put(const int* added, int n) {
    if (back + n > 2 * MAX_THREADS) {
      memmove(list, list + front, static_cast<size_t>(back - front) * sizeof *list);
      back -= front;
      front = 0;
    }
    memcpy(list + back, added, static_cast<size_t>(n) * sizeof *list);
    back += n;
  }
} ready;

__attribute__((format(printf, 1, 2))) void fail(const char* format, ...) {
  if (trouble[0]) return;  // the first is the cause
  va_list args;
  va_start(args, format);
  vsnprintf(trouble, sizeof trouble, format, args);
  va_end(args);
}

void thread_main() {
  launch->kernel->invoke(launch->params);
  threads[current].state = ENDED;
  void* unused;
  senet_switch(&unused, scheduler);
  __builtin_unreachable();
}

// Lets thread t run until it waits or ends.
void resume(int t) {
  Thread& thread = threads[t];
  if (thread.state == FRESH) {
    thread.stack = stacks.take();
    thread.sp = fresh(thread.stack, thread_main);
  }
  thread.state = READY;
  current = t;
  threadIdx = thread.index;
  senet_switch(&scheduler, thread.sp);
}

void wait_as(State state) {
  Thread& thread = threads[current];
  thread.state = state;
  senet_switch(&thread.sp, scheduler);
}

void release_barrier() {
  int order[MAX_THREADS];
  for (int t = 0; t < count; t++) {
    order[t] = t;
    threads[t].state = READY;
  }
  random_.shuffle(order, count);
  ready.put(order, count);
  at_barrier = 0;
}

// The lanes of t's warp that its mask names, have not ended and are, or are not, there.
bool all_there(int t, unsigned* lanes) {
  const int first = t / WARP * WARP;
  *lanes = 0;
  for (int i = 0; i < WARP && first + i < count; i++) {
    const Thread& other = threads[first + i];
    if (!(threads[t].mask >> i & 1) || other.state == ENDED) continue;
    if (other.state != AT_MEETING) return false;
    *lanes |= 1u << i;
  }
  return true;
}

// Lets the lanes that t waits with go on, if all are there.
void try_release_meeting(int t) {
  unsigned lanes;
  if (!all_there(t, &lanes)) return;
  Thread* warp = threads + t / WARP * WARP;
  unsigned long long results[WARP];
  int order[WARP], n = 0;
  unsigned votes = 0;
  for (int i = 0; i < WARP; i++) {
    if (!(lanes >> i & 1)) continue;
    if (warp[i].mask != threads[t].mask || warp[i].meeting != threads[t].meeting)
      return fail("lanes of a warp meet at different warp functions, or with different masks");
    if (warp[i].value) votes |= 1u << i;
    const bool there = warp[i].from >= 0 && warp[i].from < WARP && (lanes >> warp[i].from & 1);
    results[i] = there ? warp[warp[i].from].value : ~0ull;
    order[n++] = static_cast<int>(warp - threads) + i;
  }
  for (int i = 0; i < WARP; i++) {
    if (!(lanes >> i & 1)) continue;
    warp[i].value = warp[i].meeting == VOTE ? votes : results[i];
    warp[i].state = READY;
  }
  random_.shuffle(order, n);
  ready.put(order, n);
}

// The end of a lane may be what others of its warp wait for.
void after_end(int t) {
  stacks.give(threads[t].stack);
  ended++;
  const int first = t / WARP * WARP;
  for (int i = first; i < first + WARP && i < count; i++)
    if (threads[i].state == AT_MEETING) return try_release_meeting(i);
}

void start(uint64_t seed) {
  random_ = Random(seed);
  trouble[0] = 0;
  stacks.reset();
  at_barrier = ended = 0;
  ready.front = ready.back = 0;
  ready.from_back = random_.next() >> 63;
  int order[MAX_THREADS];
  for (int t = 0; t < count; t++) {
    const unsigned u = static_cast<unsigned>(t), x = blockDim.x, y = blockDim.y;
    threads[t].state = FRESH;
    threads[t].index = {u % x, u / x % y, u / x / y};
    order[t] = t;
  }
  random_.shuffle(order, count);
  ready.put(order, count);
}

void run_threads() {
  while (!ready.empty() && !trouble[0]) {
    const int t = ready.take();
    resume(t);
    if (threads[t].state == ENDED) {
      after_end(t);
    } else if (threads[t].state == AT_MEETING) {
      try_release_meeting(t);
    } else if (++at_barrier == count) {
      release_barrier();
    }
  }
  if (ended < count)
    fail("divergent barrier: of %d threads %d wait at __syncthreads, %d at a function of their warp, %d have ended",
         count, at_barrier, count - at_barrier - ended, ended);
}

// Dynamic shared memory ends where a page begins that cannot be touched.
unsigned char* dynamic_end() {
  static unsigned char* end;
  if (!end) {
    const size_t size = MAX_SHARED + 4096;
    void* p = mmap(nullptr, size + 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED || mprotect(p, size, PROT_READ | PROT_WRITE) != 0) {
      perror("emulator: shared memory");
      abort();
    }
    end = static_cast<unsigned char*>(p) + size;
  }
  return end;
}

// NaN, and no index that is in range.
void poison_shared() {
  const size_t bytes = (launch->shared + 15) / 16 * 16;
  dynamic_shared = dynamic_end() - bytes;
  memset(dynamic_shared, 0xff, bytes);
  const Kernel* k = launch->kernel;
  if (k->shared) memset(k->shared, 0xff, static_cast<size_t>(k->shared_end - k->shared));
}
}  // namespace

void block_barrier() { wait_as(AT_BARRIER); }

int lane() { return current % WARP; }

unsigned long long meet(Meeting meeting, unsigned mask, unsigned long long value, int from) {
  Thread& thread = threads[current];
  if (!(mask >> lane() & 1)) fail("lane %d calls a function of its warp with mask %#x, which lacks it", lane(), mask);
  thread.meeting = meeting;
  thread.mask = mask;
  thread.value = value;
  thread.from = from;
  wait_as(AT_MEETING);
  return thread.value;
}
}  // namespace emu

using namespace emu;

#define EXPORT extern "C" __attribute__((visibility("default")))

EXPORT Outcome senet_run(const Launch* l, unsigned long long block, unsigned long long seed, const char** why) {
  launch = l;
  gridDim = dim3(l->grid[0], l->grid[1], l->grid[2]);
  blockDim = dim3(l->block[0], l->block[1], l->block[2]);
  const unsigned long long x = l->grid[0], y = l->grid[1];
  blockIdx = {static_cast<unsigned>(block % x), static_cast<unsigned>(block / x % y),
              static_cast<unsigned>(block / x / y)};
  count = static_cast<int>(l->block[0] * l->block[1] * l->block[2]);
  if (setjmp(after_fault) == 0) {
    poison_shared();
    start(seed);
    run_threads();
    outcome = trouble[0] ? FAILED : FINE;
  }
  launch = nullptr;
  *why = trouble;
  return outcome;
}

EXPORT void senet_fault(int signal, const void* address) {
  if (!launch) return;
  const uint3 t = threads[current].index, b = blockIdx;
  trouble[0] = 0;
  outcome = signal == SIGFPE ? FAILED : FAULTED;
  if (signal == SIGFPE)  // a device would go on with any number
    fail("thread (%u,%u,%u) of block (%u,%u,%u) divides by 0", t.x, t.y, t.z, b.x, b.y, b.z);
  else
    fail("thread (%u,%u,%u) of block (%u,%u,%u) touches address %p: not its memory, beyond its stack, or not aligned",
         t.x, t.y, t.z, b.x, b.y, b.z, address);
  longjmp(after_fault, 1);
}

extern "C" Kernel* __start_senet_kernels[] __attribute__((weak));
extern "C" Kernel* __stop_senet_kernels[] __attribute__((weak));

// The i-th kernel, NULL beyond the last.
EXPORT const Kernel* senet_at(int i) {
  return i < __stop_senet_kernels - __start_senet_kernels ? __start_senet_kernels[i] : nullptr;
}

EXPORT const Kernel* senet_find(const char* name) {
  for (Kernel** k = __start_senet_kernels; k != __stop_senet_kernels; k++)
    if (strcmp((*k)->name, name) == 0) return *k;
  return nullptr;
}
