// The OS threads that run blocks, each with a library of kernels of its own.
#include "driver.hpp"

#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include <atomic>
#include <condition_variable>
#include <numeric>

namespace emu {
namespace {
struct Worker {
  find_fn* find;
  run_fn* run;
  fault_fn* fault;
  pthread_t thread;
};
Worker workers[WORKERS];

// What the workers do now. Who changes it holds the lock; blocks are taken without it.
struct Job {
  std::mutex lock;
  std::condition_variable start, end;
  uint64_t launches = 0;  // so far: a worker that has seen fewer has something to do
  int busy = 0;           // workers
  const Function* function;
  const Launch* launch;
  uint64_t seed, blocks, factor, offset;
  std::atomic<uint64_t> next;
  Outcome outcome;
  std::string why;
};
// Never destroyed: the workers still wait on it when the process ends, and a condition that is waited on holds up exit.
Job& job = *new Job;

// The i-th block to run: since factor has no divisor in common with their number, each block comes once.
uint64_t block_at(uint64_t i) {
  return static_cast<uint64_t>((static_cast<unsigned __int128>(i) * job.factor + job.offset) % job.blocks);
}

void run_some(int w) {
  Launch l = *job.launch;
  l.kernel = job.function->kernel[w];
  for (uint64_t i; (i = job.next++) < job.blocks;) {
    const uint64_t block = block_at(i);
    const char* why;
    const Outcome outcome = workers[w].run(&l, block, job.seed + block, &why);
    if (outcome == FINE) continue;
    std::lock_guard<std::mutex> guard(job.lock);
    if (job.outcome == FINE) {
      job.outcome = outcome;
      job.why = why;
    }
    job.next = job.blocks;
  }
}

void* work(void* index) {
  const int w = static_cast<int>(reinterpret_cast<intptr_t>(index));
  // A thread that overruns its stack leaves none for the handler.
  stack_t stack = {};
  stack.ss_size = 64 << 10;
  stack.ss_sp = malloc(stack.ss_size);
  sigaltstack(&stack, nullptr);
  uint64_t seen = 0;
  std::unique_lock<std::mutex> lock(job.lock);
  for (;;) {
    job.start.wait(lock, [&] { return job.launches > seen; });
    seen = job.launches;
    lock.unlock();
    run_some(w);
    lock.lock();
    if (--job.busy == 0) job.end.notify_all();
  }
}

struct sigaction before[NSIG];
const int faults[] = {SIGSEGV, SIGBUS, SIGFPE};

// A fault of a kernel ends its launch; all others go to whoever handled them before, which is Go's runtime.
void on_signal(int signal, siginfo_t* info, void* context) {
  for (const Worker& w : workers) {
    if (!pthread_equal(pthread_self(), w.thread)) continue;
    sigset_t set;
    sigemptyset(&set);
    for (const int s : faults) sigaddset(&set, s);
    pthread_sigmask(SIG_UNBLOCK, &set, nullptr);  // the next line does not return from a handler
    w.fault(signal, info->si_addr);
  }
  const struct sigaction& old = before[signal];
  if (old.sa_flags & SA_SIGINFO) return old.sa_sigaction(signal, info, context);
  if (old.sa_handler != SIG_DFL && old.sa_handler != SIG_IGN) return old.sa_handler(signal);
  sigaction(signal, &old, nullptr);  // and the instruction faults again
}

// Go's handler expects what Go asked for: its own stack, and no other signal meanwhile.
void handle_faults() {
  struct sigaction action = {};
  action.sa_sigaction = on_signal;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigfillset(&action.sa_mask);
  for (const int s : faults) sigaction(s, &action, &before[s]);
}

bool open_library(int w) {
  Dl_info self;
  if (!dladdr(reinterpret_cast<void*>(&open_library), &self)) return false;
  std::string path = self.dli_fname;
  path = path.substr(0, path.rfind('/') + 1) + "kernels" + std::to_string(w) + ".so";
  void* lib = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!lib) {
    say("%s", dlerror());
    return false;
  }
  workers[w].find = reinterpret_cast<find_fn*>(dlsym(lib, "senet_find"));
  workers[w].run = reinterpret_cast<run_fn*>(dlsym(lib, "senet_run"));
  workers[w].fault = reinterpret_cast<fault_fn*>(dlsym(lib, "senet_fault"));
  const auto at = reinterpret_cast<at_fn*>(dlsym(lib, "senet_at"));
  for (int i = 0; const Kernel* k = at(i); i++) {
    if (workers[w].find(k->name) == k) continue;
    say("two .cu files have a kernel %s", k->name);
    return false;
  }
  return true;
}

// Signals of the process are for Go's threads: a worker's stack is too small for their handlers.
bool start_workers() {
  for (int w = 0; w < WORKERS; w++)
    if (!open_library(w)) return false;
  sigset_t all, old;
  sigfillset(&all);
  for (const int s : faults) sigdelset(&all, s);
  pthread_sigmask(SIG_SETMASK, &all, &old);
  bool started = true;
  for (int w = 0; w < WORKERS; w++)
    started = started && pthread_create(&workers[w].thread, nullptr, work, reinterpret_cast<void*>(intptr_t{w})) == 0;
  pthread_sigmask(SIG_SETMASK, &old, nullptr);
  handle_faults();
  return started;
}
}  // namespace

bool open_kernels() {
  static const bool started = start_workers();
  return started;
}

const Kernel* find_kernel(int worker, const char* name) { return workers[worker].find(name); }

Outcome run_blocks(const Function& f, const Launch& l, std::string* why) {
  std::unique_lock<std::mutex> lock(job.lock);
  job.function = &f;
  job.launch = &l;
  job.seed = draw(~0ull);
  job.blocks = uint64_t{l.grid[0]} * l.grid[1] * l.grid[2];
  job.factor = 1 + draw(job.blocks);
  while (std::gcd(job.factor, job.blocks) != 1) job.factor++;
  job.offset = draw(job.blocks);
  job.next = 0;
  job.outcome = FINE;
  job.busy = WORKERS;
  job.launches++;
  job.start.notify_all();
  job.end.wait(lock, [] { return job.busy == 0; });
  *why = job.why;
  return job.outcome;
}
}  // namespace emu
