// Stacks and the switch between them. The system's swapcontext saves the signal mask with two system calls; a block of
// 256 threads with 20 barriers switches 10,000 times.
#pragma once
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

namespace emu {
#if !defined(__x86_64__)
#error "the emulator switches stacks on x86-64 only"
#endif

// Saves the registers that a call preserves and the stack pointer in *from, and goes on where to was saved.
extern "C" void senet_switch(void** from, void* to);

asm(R"(
  .text
  .p2align 4
  .hidden senet_switch
  .globl senet_switch
  .type senet_switch, @function
senet_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
  .size senet_switch, .-senet_switch
)");

// A pool of stacks: threads that never wait share the first.
class Stacks {
 public:
  // Returns the top of a free stack.
  char* take() {
    if (free_ == 0) grow();
    return stacks_[--free_];
  }
  void give(char* stack) { stacks_[free_++] = stack; }
  // Forgets which stacks are in use.
  void reset() {
    for (free_ = 0; free_ < made_; free_++) stacks_[free_] = all_[free_];
  }

 private:
  enum { SIZE = 64 << 10, GUARD = 4 << 10, MOST = 1024 };

  void grow() {
    void* p = mmap(nullptr, GUARD + SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED || mprotect(static_cast<char*>(p) + GUARD, SIZE, PROT_READ | PROT_WRITE) != 0) {
      perror("emulator: stack of a thread");
      abort();
    }
    // Tops at the same place of a page would share one set of the cache.
    const int color = made_ % 64 * 5 % 64 * 64;
    stacks_[free_++] = all_[made_++] = static_cast<char*>(p) + GUARD + SIZE - color;
  }

  char* stacks_[MOST];
  char* all_[MOST];
  int free_ = 0, made_ = 0;
};

// A stack pointer from which senet_switch enters entry, which must not return.
inline void* fresh(char* top, void (*entry)()) {
  void** sp = reinterpret_cast<void**>(top) - 8;  // at entry the stack is off by 8 from a multiple of 16
  for (int i = 0; i < 8; i++) sp[i] = nullptr;
  sp[6] = reinterpret_cast<void*>(entry);  // above the six registers
  return sp;
}

// xorshift64*: only to shuffle.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15u + 0x632be59bd9b4e019u) {
    if (state_ == 0) state_ = 1;
    for (int i = 0; i < 4; i++) next();
  }
  uint64_t next() {
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return state_ * 0x2545f4914f6cdd1du;
  }
  // Below n, which is less than 2^32.
  uint32_t below(uint32_t n) { return static_cast<uint32_t>((next() >> 32) * n >> 32); }
  template <class T>
  void shuffle(T* list, int n) {
    for (int i = n - 1; i > 0; i--) {
      const uint32_t j = below(static_cast<uint32_t>(i) + 1);
      const T x = list[i];
      list[i] = list[j];
      list[j] = x;
    }
  }

 private:
  uint64_t state_;
};
}  // namespace emu
