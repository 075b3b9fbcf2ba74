// Convolutions of many small groups (ResNeXt's 4 to 8 channels a group, depthwise ones) and their gradients, without a
// product of matrices, of which they would fill a corner. A lane has an output channel, so that a warp reads and writes
// neighbours in memory; V input channels of its group are one load. dy and y are (N, P, Q, K), x and dx (N, H, W, C),
// w (K, R, S, C/groups) in the type of maps, dw float32.
// Each moves its maps about once, w and the rest. Callers: conv.go, conv_grad_input.go, conv_grad_weight.go.
#include "conv_output.cuh"

enum { LANES = 32, WARPS = 8, PIXELS = 4, TAPS = 3 };

// A source map (N, H, W, C) and a target (N, P, Q, K) of a convolution, or the other way round for its gradient.
struct Maps {
  int N, H, W, C, P, Q, K, R, S, stride, pad, groups;
};

// Element (tap, i) of the filter of target channel o, as it lies for the convolution or (back) its gradient.
template <bool back, class T>
__device__ inline float filter_at(const T* w, const Maps& d, int o, int tap, int i) {
  const int inputs = d.C / d.groups, outputs = d.K / d.groups;
  if (back) return to_float(w[((i64)(o / outputs * inputs + i) * d.R * d.S + tap) * outputs + o % outputs]);
  return to_float(w[((i64)o * d.R * d.S + tap) * inputs + i]);
}

// Where tap r of target pixel p lies along an axis of the source, or outside.
template <bool back>
__device__ inline int source_of(int p, int r, const Maps& d) {
  if (!back) return p * d.stride - d.pad + r;
  const int steps = p + d.pad - r;
  return steps % d.stride == 0 ? steps / d.stride : -1;
}

// Each thread computes PIXELS pixels of its channel at a time. The block's filters wait in shared memory, as float32
// (R S, inputs / V, LANES, V).
template <class T, int V, bool back>
__device__ void conv_grouped(const T* x, const T* w, const float* bias, const float* gate, const T* residual, T* y,
                             int relu, const Maps& d) {
  SENET_DYNAMIC_SHARED(float, filters);
  const int inputs = d.C / d.groups, per_filter = d.R * d.S * inputs, first = blockIdx.y * LANES;
  for (int i = threadIdx.x; i < LANES * per_filter; i += LANES * WARPS) {
    const int lane = i / per_filter, tap = i % per_filter / inputs, c = i % inputs;
    filters[((i % per_filter / V) * LANES + lane) * V + c % V] =
        first + lane < d.K ? filter_at<back>(w, d, first + lane, tap, c) : 0;
  }
  __syncthreads();
  const int lane = threadIdx.x % LANES, o = first + lane;
  if (o >= d.K) return;
  const T* source = x + o / (d.K / d.groups) * inputs;
  Epilogue<T, 1> epilogue = {bias, gate, residual, relu, d.K, {}};
  epilogue.start(o);
  const int pixels = d.N * d.P * d.Q, step = gridDim.x * WARPS * PIXELS;
  for (int begin = (blockIdx.x * WARPS + threadIdx.x / LANES) * PIXELS; begin < pixels; begin += step) {
    int image[PIXELS], p[PIXELS], q[PIXELS];
    float sum[PIXELS] = {};
#pragma unroll
    for (int i = 0; i < PIXELS; i++) {
      const int row = (begin + i) / d.Q;
      q[i] = (begin + i) % d.Q;
      p[i] = row % d.P;
      image[i] = row / d.P;
    }
    const float* filter = filters + lane * V;
#pragma unroll 1
    for (int r = 0; r < d.R; r++)
#pragma unroll 1
      for (int s = 0; s < d.S; s++) {
        const T* from[PIXELS];
#pragma unroll
        for (int i = 0; i < PIXELS; i++) {
          const int h = source_of<back>(p[i], r, d), v = source_of<back>(q[i], s, d);
          const bool there = image[i] < d.N && (unsigned)h < (unsigned)d.H && (unsigned)v < (unsigned)d.W;
          from[i] = there ? source + (((i64)image[i] * d.H + h) * d.W + v) * d.C : nullptr;
        }
#pragma unroll 1
        for (int c = 0; c < inputs; c += V, filter += LANES * V) {
          float k[V];
          load(k, filter);
#pragma unroll
          for (int i = 0; i < PIXELS; i++) {
            if (!from[i]) continue;
            float in[V];
            load(in, from[i] + c);
#pragma unroll
            for (int j = 0; j < V; j++) sum[i] += in[j] * k[j];
          }
        }
      }
#pragma unroll
    for (int i = 0; i < PIXELS; i++) {
      const i64 pixel = begin + i;
      if (pixel >= pixels) break;
      float out[1] = {sum[i]};
      epilogue.apply(out, epilogue.ahead(pixel, o), image[i], o);
      y[pixel * d.K + o] = from_float<T>(out[0]);
    }
  }
}

// The gradient of w: parts (shares, K, R, S, C/groups), of each share of the pixels. blockIdx.x is the chunk of
// channels of dy, blockIdx.y that of the filter, TAPS neighbours along s of V channels, blockIdx.z the share.
template <class T, int V>
__device__ void conv_grouped_weight(const T* dy, const T* x, float* parts, const Maps& d) {
  __shared__ float sums[WARPS][TAPS * V][LANES];
  const int inputs = d.C / d.groups, lane = threadIdx.x % LANES, warp = threadIdx.x / LANES;
  const int k = blockIdx.x * LANES + lane, c = blockIdx.y % (inputs / V) * V, tap = blockIdx.y / (inputs / V);
  const int runs = (d.S + TAPS - 1) / TAPS, r = tap / runs, s = tap % runs * TAPS;
  const int pixels = d.N * d.P * d.Q, share = (pixels + gridDim.z - 1) / gridDim.z, begin = blockIdx.z * share;
  const int end = begin + share < pixels ? begin + share : pixels;
  float sum[TAPS][V] = {};
  if (k < d.K) {
    const T* source = x + k / (d.K / d.groups) * inputs + c;
    for (int pixel = begin + warp; pixel < end; pixel += WARPS) {
      const int h = pixel / d.Q % d.P * d.stride - d.pad + r, v = pixel % d.Q * d.stride - d.pad + s;
      if ((unsigned)h >= (unsigned)d.H) continue;
      const float g = to_float(dy[(i64)pixel * d.K + k]);
      const T* from = source + (((i64)(pixel / d.Q / d.P) * d.H + h) * d.W + v) * d.C;
#pragma unroll
      for (int i = 0; i < TAPS; i++) {
        if (s + i >= d.S || (unsigned)(v + i) >= (unsigned)d.W) continue;
        float in[V];
        load(in, from + i * d.C);
#pragma unroll
        for (int j = 0; j < V; j++) sum[i][j] += g * in[j];
      }
    }
  }
#pragma unroll
  for (int i = 0; i < TAPS * V; i++) sums[warp][i][lane] = sum[i / V][i % V];
  __syncthreads();
  if (k >= d.K) return;
  for (int i = warp; i < TAPS * V; i += WARPS) {
    if (s + i / V >= d.S) continue;
    float total = 0;
    for (int j = 0; j < WARPS; j++) total += sums[j][i][lane];
    parts[((((i64)blockIdx.z * d.K + k) * d.R + r) * d.S + s + i / V) * inputs + c + i % V] = total;
  }
}

#define KERNELS(suffix, T, V)                                                                                         \
  extern "C" __global__ void __launch_bounds__(LANES* WARPS, 3) conv_grouped_##suffix(                                \
      const T* x, const T* w, const float* bias, const float* gate, const T* residual, T* y, int relu, int N, int H,  \
      int W, int C, int P, int Q, int K, int R, int S, int stride, int pad, int groups) {                             \
    conv_grouped<T, V, false>(x, w, bias, gate, residual, y, relu, {N, H, W, C, P, Q, K, R, S, stride, pad, groups}); \
  }                                                                                                                   \
  extern "C" __global__ void __launch_bounds__(LANES* WARPS, 3)                                                       \
      conv_grouped_input_##suffix(const T* dy, const T* w, T* dx, int N, int H, int W, int C, int P, int Q, int K,    \
                                  int R, int S, int stride, int pad, int groups) {                                    \
    conv_grouped<T, V, true>(dy, w, nullptr, nullptr, nullptr, dx, 0,                                                 \
                             {N, P, Q, K, H, W, C, R, S, stride, pad, groups});                                       \
  }                                                                                                                   \
  extern "C" __global__ void __launch_bounds__(LANES* WARPS, 3)                                                       \
      conv_grouped_weight_##suffix(const T* dy, const T* x, float* parts, int N, int H, int W, int C, int P, int Q,   \
                                   int K, int R, int S, int stride, int pad, int groups) {                            \
    conv_grouped_weight<T, V>(dy, x, parts, {N, H, W, C, P, Q, K, R, S, stride, pad, groups});                        \
  }
KERNELS(f32x4, float, 4)
KERNELS(f32x1, float, 1)
KERNELS(bf16x4, bf16, 4)
KERNELS(bf16x1, bf16, 1)
KERNELS(f16x4, f16, 4)
KERNELS(f16x1, f16, 1)
