// What becomes of a convolution's sums: partial sums as they are, or
// y = relu?(gate (sum + bias) + residual) in the type of maps. conv_tile.cuh leaves the sums in registers.
#pragma once
#include "conv_tile.cuh"

// Reads V floats from p, which is aligned to them up to 16 bytes.
template <int V>
__device__ inline void load_floats(float (&to)[V], const float* p) {
  constexpr int W = V < 4 ? V : 4;
#pragma unroll
  for (int i = 0; i < V; i += W) {
    const Vec<float, W> part = *(const Vec<float, W>*)(p + i);
#pragma unroll
    for (int j = 0; j < W; j++) to[i + j] = part.at[j];
  }
}

template <int V>
__device__ inline void store_floats(float* p, const float (&from)[V]) {
  constexpr int W = V < 4 ? V : 4;
#pragma unroll
  for (int i = 0; i < V; i += W) {
    Vec<float, W> part;
#pragma unroll
    for (int j = 0; j < W; j++) part.at[j] = from[i + j];
    *(Vec<float, W>*)(p + i) = part;
  }
}

// V neighbouring channels of the epilogue, aligned to V.
template <class T, int V>
struct Epilogue {
  const float* bias;  // (K), nil where absent, as are
  const float* gate;  // (N, K)
  const T* residual;  // (pixels, K)
  int relu, channels;
  float b[V];  // bias of the channels at hand

  // Begins with channel k.
  __device__ void start(int k) {
#pragma unroll
    for (int i = 0; i < V; i++) b[i] = 0;
    if (bias) load_floats(b, bias + k);
  }

  // The residual of a pixel, loaded ahead.
  __device__ Vec<T, V> ahead(i64 pixel, int k) const {
    return residual ? *(const Vec<T, V>*)(residual + pixel * channels + k) : Vec<T, V>{};
  }

  __device__ void apply(float (&x)[V], const Vec<T, V>& residual, int image, int k) const {
    float g[V];
#pragma unroll
    for (int i = 0; i < V; i++) g[i] = 1;
    if (gate) load_floats(g, gate + (i64)image * channels + k);
#pragma unroll
    for (int i = 0; i < V; i++) {
      x[i] = g[i] * (x[i] + b[i]) + to_float(residual.at[i]);
      if (relu) x[i] = x[i] > 0 || isnan(x[i]) ? x[i] : 0;
    }
  }
};

// Hands the sums of a tile's columns below `columns` to the sink with coalesced stores: they take the way through
// shared memory. Where columns allows it, sink.put(m, n, sums, loaded) gets V neighbours and what sink.ahead(m, n)
// loaded for them, else sink.put_one(m, n, sum) each; (m, n) is the place in the tile.
template <int BM, int BN, int V, class Tile, class Sink>
__device__ inline void drain(const Tile& tile, unsigned char* shared, Sink& sink, int columns) {
  enum { WM = BM / 2, WN = BN / 2, PITCH = WN + 8, SLAB = 32, LANES = WN / V, PASS = 32 / LANES, GROUP = 4 * PASS };
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, row = lane / LANES, column = lane % LANES * V;
  float* slab = (float*)shared + warp * SLAB * PITCH;  // SLAB rows, of this warp alone
  const int m = warp / 2 * WM, n = warp % 2 * WN;
  const bool wide = columns % V == 0, inside = wide && n + column < columns;
  if (inside) sink.start(n + column);
#pragma unroll 1
  for (int first = 0; first < WM; first += SLAB) {
    __syncwarp();
#pragma unroll
    for (int i = 0; i < WM; i += 16)  // the sums' registers have no variable index
      if (i >= first && i < first + SLAB) tile.write(slab + i % SLAB * PITCH, PITCH, i / 16);
    __syncwarp();
#pragma unroll 1
    for (int i = row; i < SLAB && inside; i += GROUP) {
      typename Sink::Ahead loaded[4];
#pragma unroll
      for (int j = 0; j < 4; j++) loaded[j] = sink.ahead(m + first + i + j * PASS, n + column);
#pragma unroll
      for (int j = 0; j < 4; j++) {
        float sums[V];
        load_floats(sums, slab + (i + j * PASS) * PITCH + column);
        sink.put(m + first + i + j * PASS, n + column, sums, loaded[j]);
      }
    }
#pragma unroll 1
    for (int i = lane; i < SLAB * WN && !wide; i += 32)
      if (n + i % WN < columns) sink.put_one(m + first + i / WN, n + i % WN, slab[i / WN * PITCH + i % WN]);
  }
}

// The sink of a tile whose rows are pixels of a map and whose columns are channels of a group. pixels.at(row) is the
// pixel of a row, pixels.image(row) its image.
template <class T, int V, class Pixels>
struct MapSink {
  typedef Vec<T, V> Ahead;
  Epilogue<T, V> epilogue;
  T* y;            // (pixels, channels)
  float* partial;  // likewise, of this block's share of the reduction; nil where the sums are whole
  Pixels pixels;
  int rows;                      // of the product
  int first_row, first_channel;  // of the tile

  __device__ void start(int n) { epilogue.start(first_channel + n); }

  __device__ Ahead ahead(int m, int n) const {
    const int row = first_row + m;
    return partial || row >= rows ? Ahead{} : epilogue.ahead(pixels.at(row), first_channel + n);
  }

  __device__ void put(int m, int n, float (&sums)[V], const Ahead& residual) const {
    const int row = first_row + m, k = first_channel + n;
    if (row >= rows) return;
    const i64 at = pixels.at(row) * epilogue.channels + k;
    if (partial) {
      store_floats(partial + at, sums);
      return;
    }
    epilogue.apply(sums, residual, epilogue.gate ? pixels.image(row) : 0, k);
    store(y + at, sums);
  }

  __device__ void put_one(int m, int n, float sum) const {
    MapSink<T, 1, Pixels> one = {
        {epilogue.bias, epilogue.gate, epilogue.residual, epilogue.relu, epilogue.channels, {}},
        y,
        partial,
        pixels,
        rows,
        first_row,
        first_channel};
    float sums[1] = {sum};
    one.start(n);
    one.put(m, n, sums, one.ahead(m, n));
  }
};
