// Maps of one and of two inputs, element by element, in memory order. Caller: the .cu files of elementwise ops, launched
// by elementwise.go.
#pragma once
#include "walk.cuh"

// out = f(a).
template <int W, class T, class F>
__device__ inline void map1(T* out, const T* a, i64 count, F f) {
  each<W>(count, [=](i64 i) {
    float x[W];
    load(x, a + i);
#pragma unroll
    for (int k = 0; k < W; k++) x[k] = f(x[k]);
    store(out + i, x);
  });
}

// out = f(a, b).
template <int W, class T, class F>
__device__ inline void map2(T* out, const T* a, const T* b, i64 count, F f) {
  each<W>(count, [=](i64 i) {
    float x[W], y[W];
    load(x, a + i);
    load(y, b + i);
#pragma unroll
    for (int k = 0; k < W; k++) x[k] = f(x[k], y[k]);
    store(out + i, x);
  });
}
