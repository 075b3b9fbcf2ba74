// Tensors that each follow another one. Callers: grad_sum.cu, clear.cu and ema.cu.
#pragma once
#include "chunks.cuh"

// An entry of the table that followers.go makes. Both arrays lie in the same order; from may be null.
struct Follower {
  float* to;
  const float* from;
  i64 count;
};
