// The instructions that a tensor-core product is made of: asynchronous copies into shared memory, loads of 8x8
// fragments, m16n8 products. Those named "warp" are collective: all 32 lanes call them. The emulator's twins exchange
// the lanes' registers through a buffer.
//
// With g = lane / 4 and t = lane % 4 the fragments of a 16-bit m16n8k16 product, two neighbours along k a register, are
//	a[0] (row g, k 2t)   a[1] (row g + 8, k 2t)   a[2] (row g, k 2t + 8)   a[3] (row g + 8, k 2t + 8)
//	b[0] (k 2t, column g)   b[1] (k 2t + 8, column g)
//	c[0], c[1] (row g, columns 2t, 2t + 1)   c[2], c[3] (row g + 8, ...)
// and those of a tf32 m16n8k8 product, one element a register, the same with k t and t + 4.
#pragma once
#include "types.cuh"

#ifdef SENET_EMULATED
#include "mma_emulated.cuh"
#else

// The address of p, which lies in shared memory, as instructions take it.
__device__ inline unsigned shared_address(const void* p) { return (unsigned)__cvta_generic_to_shared(p); }

// Starts to copy 16 bytes to shared memory; zeros where there is nothing.
__device__ inline void copy16(void* to, const void* from, bool there) {
  const int bytes = there ? 16 : 0;
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(from), "r"(bytes)
               : "memory");
}

// Closes a group of this thread's copies.
__device__ inline void copy_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Waits until all but the latest `pending` groups have arrived.
template <int pending>
__device__ inline void copy_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(pending) : "memory");
}

// Loads four 8x8 matrices of 16-bit elements (or 8x4 of 32-bit ones): lane l gives the address of row l % 8 of
// matrix l / 8, and gets of each matrix the register at row g, column pair t.
__device__ inline void warp_load(unsigned (&to)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(shared_address(row))
               : "memory");
}

// Likewise, each matrix transposed: rows 2t and 2t + 1 of column g.
__device__ inline void warp_load_transposed(unsigned (&to)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(shared_address(row))
               : "memory");
}

// c += a b of elements T; float means tf32.
template <class T>
__device__ inline void warp_multiply(float* c, const unsigned (&a)[4], const unsigned* b);
template <>
__device__ inline void warp_multiply<bf16>(float* c, const unsigned (&a)[4], const unsigned* b) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
template <>
__device__ inline void warp_multiply<f16>(float* c, const unsigned (&a)[4], const unsigned* b) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
template <>
__device__ inline void warp_multiply<float>(float* c, const unsigned (&a)[4], const unsigned* b) {
  asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// The float of these bits, rounded to tf32 (10 bits of mantissa), half away from zero.
__device__ inline unsigned round_tf32(unsigned bits) {
  unsigned rounded;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(rounded) : "f"(__uint_as_float(bits)));
  return rounded;
}

// Reads an element that the kernel does not write.
template <class T>
__device__ inline T load_constant(const T* p) {
  return __ldg(p);
}
#endif
