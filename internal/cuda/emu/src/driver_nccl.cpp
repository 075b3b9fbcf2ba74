// NCCL for ranks that share a process, each with a device of its own. Collectives run on streams like all other work: a rank
// arrives, and is done some time after all have arrived. What a rank sends is taken when it arrives; from then on its result is NaN,
// and neither may be touched until it is done. The numbers of nccl.h are NCCL 2's.
#include <string.h>

#include <set>

#include "driver.hpp"

using namespace emu;

namespace {
enum : int { SYSTEM_ERROR = 2, INVALID_ARGUMENT = 4, INVALID_USAGE = 5, REMOTE_ERROR = 6, CUDA_ERROR = 1 };
enum : int { FLOAT32 = 7, BFLOAT16 = 9 };
enum Kind { SUM, GATHER };

struct Id {
  char internal[128];
};

// One collective, for all ranks.
struct Meeting {
  Kind kind;
  size_t count;
  int type;
  std::map<int, std::vector<char>> sent;  // by rank
};

// What the ranks of a job share.
struct Job {
  int ranks = 0;
  std::set<int> joined, devices, gone;
  int error = 0;  // of joining
  std::map<uint64_t, std::shared_ptr<Meeting>> meetings;
};

struct Comm {
  std::shared_ptr<Job> job;
  int rank = 0;
  uint64_t started = 0;              // meetings that this rank has come to
  std::shared_ptr<Meeting> waiting;  // the one that it is in
  bool aborted = false;
  std::shared_ptr<int> users = std::make_shared<int>();  // held by all work that is issued or captured
};

std::map<std::string, std::shared_ptr<Job>> jobs;  // by id
std::map<Comm*, std::shared_ptr<Comm>> comms;

size_t size_of(int type) { return type == BFLOAT16 ? 2 : 4; }

float to_float(uint16_t x) {
  const uint32_t bits = uint32_t{x} << 16;
  float f;
  memcpy(&f, &bits, 4);
  return f;
}

uint16_t to_bfloat16(float x) {
  uint32_t bits;
  memcpy(&bits, &x, 4);
  if (x != x) return static_cast<uint16_t>(bits >> 16 | 0x40);
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

// Adds in the order of ranks, rounding each sum.
std::vector<char> result(const Meeting& m) {
  std::vector<char> all;
  for (const auto& s : m.sent) {
    if (m.kind == GATHER || all.empty()) {
      all.insert(all.end(), s.second.begin(), s.second.end());
      continue;
    }
    for (size_t i = 0; i < m.count; i++) {
      if (m.type == FLOAT32) {
        float a, b;
        memcpy(&a, &all[4 * i], 4);
        memcpy(&b, &s.second[4 * i], 4);
        a += b;
        memcpy(&all[4 * i], &a, 4);
        continue;
      }
      uint16_t a, b;
      memcpy(&a, &all[2 * i], 2);
      memcpy(&b, &s.second[2 * i], 2);
      a = to_bfloat16(to_float(a) + to_float(b));
      memcpy(&all[2 * i], &a, 2);
    }
  }
  return all;
}

// A call, which runs once, or where it was captured once for each launch of its graph.
struct Call {
  std::shared_ptr<Comm> comm;
  std::shared_ptr<int> user;
  Kind kind;
  const char* from;
  char* to;
  size_t count;
  int type;
  std::shared_ptr<Meeting> meeting;

  size_t bytes() const { return count * size_of(type); }
  size_t result_bytes() const { return kind == GATHER ? bytes() * static_cast<size_t>(comm->job->ranks) : bytes(); }

  CUresult arrive() {
    std::shared_ptr<Meeting>& m = comm->job->meetings[comm->started];
    if (!m) m = std::make_shared<Meeting>(Meeting{kind, count, type, {}});
    if (m->kind != kind || m->count != count || m->type != type) {
      say("collective %llu: rank %d has %zu elements, another rank %zu, or something else", 0ull + comm->started,
          comm->rank, count, m->count);
      return LAUNCH_FAILED;
    }
    if (!on_device(reinterpret_cast<CUdeviceptr>(from), bytes()) ||
        !on_device(reinterpret_cast<CUdeviceptr>(to), result_bytes())) {
      say("collective %llu: an address is not device memory, or has fewer bytes", 0ull + comm->started);
      return ILLEGAL_ADDRESS;
    }
    m->sent[comm->rank] = std::vector<char>(from, from + bytes());
    memset(to, 0xff, result_bytes());
    meeting = comm->waiting = m;
    if (m->sent.size() == static_cast<size_t>(comm->job->ranks)) comm->job->meetings.erase(comm->started);
    comm->started++;
    driver().steps++;
    return NOT_READY;
  }

  bool untouched() const {
    for (size_t i = 0; i < result_bytes(); i++)
      if (to[i] != static_cast<char>(0xff)) return false;
    return from == to || memcmp(from, meeting->sent[comm->rank].data(), bytes()) == 0;
  }

  CUresult run() {
    if (comm->aborted) {  // the kernel gives up, and leaves anything
      meeting = nullptr;
      return SUCCESS;
    }
    if (!meeting) return arrive();
    if (meeting->sent.size() < static_cast<size_t>(comm->job->ranks)) return NOT_READY;
    if (!untouched()) {
      say("rank %d: memory was written to while a collective of %zu elements was on its way", comm->rank, count);
      return LAUNCH_FAILED;
    }
    const std::vector<char> all = result(*meeting);
    memcpy(to, all.data(), all.size());
    meeting = comm->waiting = nullptr;
    return SUCCESS;
  }
};

int collect(const char* name, Kind kind, const void* from, void* to, size_t count, int type, void* comm, void* stream) {
  const auto found = comms.find(static_cast<Comm*>(comm));
  Stream* s = find_stream(stream);
  if (found == comms.end() || !s || found->second->aborted || (type != FLOAT32 && type != BFLOAT16))
    return INVALID_ARGUMENT;
  const auto c = std::make_shared<Call>();
  c->comm = found->second;
  c->user = c->comm->users;
  c->kind = kind;
  c->from = static_cast<const char*>(from);
  c->to = static_cast<char*>(to);
  c->count = count;
  c->type = type;
  trace(s, std::string(name) + " " + std::to_string(count));
  return issue(s, [c] { return c->run(); }) ? CUDA_ERROR : 0;
}

// As NCCL's, it ends only when no graph is left that has captured the communicator's work.
int end(void* comm, bool abort) {
  const auto found = comms.find(static_cast<Comm*>(comm));
  if (found == comms.end()) return INVALID_ARGUMENT;
  const std::shared_ptr<Comm> c = found->second;
  c->aborted = abort;
  c->job->gone.insert(c->rank);
  driver().called.notify_all();
  while (c->users.use_count() > 1) wait_for_calls();
  comms.erase(c.get());
  return 0;
}
}  // namespace

// A failure of the driver's is NCCL's unhandled CUDA error, one that a test wants is passed on.
#define NCCL_ENTER(needs) \
  emu::Guard guard;       \
  if (const int entered = emu::enter(__func__, emu::needs)) return entered < INVALID_DEVICE ? entered : CUDA_ERROR

API ncclGetVersion(int* version) {
  *version = 22703;
  return SUCCESS;
}

extern "C" __attribute__((visibility("default"))) const char* ncclGetErrorString(int result) {
  switch (result) {
    case 0:
      return "no error";
    case CUDA_ERROR:
      return "unhandled cuda error";
    case SYSTEM_ERROR:
      return "unhandled system error";
    case INVALID_ARGUMENT:
      return "invalid argument";
    case INVALID_USAGE:
      return "invalid usage";
    case REMOTE_ERROR:
      return "remote process exited or there was a network error";
  }
  return "unknown result code";
}

extern "C" __attribute__((visibility("default"))) const char* ncclGetLastError(void*) { return "emulated"; }

API ncclGetUniqueId(Id* id) {
  NCCL_ENTER(NOTHING);
  static int made = 0;
  memset(id->internal, 0, sizeof id->internal);
  memcpy(id->internal, "emulated", 8);
  id->internal[8] = static_cast<char>(++made);
  id->internal[9] = static_cast<char>(made >> 8);
  return SUCCESS;
}

API ncclCommInitRank(void** comm, int ranks, Id id, int rank) {
  NCCL_ENTER(CONTEXT);
  std::shared_ptr<Job>& entry = jobs[std::string(id.internal, sizeof id.internal)];
  if (!entry) entry = std::make_shared<Job>();
  const std::shared_ptr<Job> job = entry;
  if (job->ranks == 0) job->ranks = ranks;
  if (job->ranks != ranks || rank < 0 || rank >= ranks || !job->joined.insert(rank).second) return INVALID_ARGUMENT;
  if (!job->devices.insert(current_device()).second) job->error = INVALID_USAGE;  // NCCL wants a device for each rank
  driver().called.notify_all();
  while (!job->error && job->joined.size() < static_cast<size_t>(ranks)) wait_for_calls();
  if (job->error) return job->error;
  const auto c = std::make_shared<Comm>();
  c->job = job;
  c->rank = rank;
  comms[c.get()] = c;
  *comm = c.get();
  return SUCCESS;
}

API ncclCommGetAsyncError(void* comm, int* error) {
  NCCL_ENTER(NOTHING);
  const auto found = comms.find(static_cast<Comm*>(comm));
  if (found == comms.end()) return INVALID_ARGUMENT;
  const Comm& c = *found->second;
  *error = 0;
  for (const int rank : c.job->gone)
    if (c.waiting && c.waiting->sent.count(rank) == 0) *error = REMOTE_ERROR;
  return SUCCESS;
}

API ncclCommAbort(void* comm) {
  NCCL_ENTER(NOTHING);
  return end(comm, true);
}

API ncclCommDestroy(void* comm) {
  NCCL_ENTER(NOTHING);
  return end(comm, false);
}

API ncclAllReduce(const void* from, void* to, size_t count, int type, int op, void* comm, void* stream) {
  NCCL_ENTER(CONTEXT);
  return op ? INVALID_ARGUMENT : collect("all_reduce", SUM, from, to, count, type, comm, stream);
}

API ncclAllGather(const void* from, void* to, size_t count, int type, void* comm, void* stream) {
  NCCL_ENTER(CONTEXT);
  return collect("all_gather", GATHER, from, to, count, type, comm, stream);
}
