// concat: whole (pixels, sum of c) from maps (pixels, c), and its gradient, the maps from the whole, those that are
// wanted. One launch for any number of maps. Nothing is computed, so the kernels are for units of 16, 4 and 2 bytes
// instead of types; c and channel count units. Reads and writes each map once. Caller: concat.go.
#include "walk.cuh"

struct Map {
  i64 address;  // 0 where the gradient is not wanted
  i64 end;      // first channel of the whole behind the map's
};

// Calls f(index into whole, address, index into the map) for each unit of the whole.
template <class F>
__device__ inline void each_unit(const Map* maps, i64 pixels, int c, F f) {
  each_row<1>(pixels, c, [=](i64 pixel, int channel) {
    int first = 0, i = 0;
    while (channel >= maps[i].end) first = int(maps[i++].end);
    f(pixel * c + channel, maps[i].address, pixel * (maps[i].end - first) + channel - first);
  });
}

template <class Unit>
__device__ inline void join(Unit* whole, const Map* maps, i64 pixels, int c) {
  each_unit(maps, pixels, c, [=](i64 at, i64 map, i64 from) { whole[at] = reinterpret_cast<const Unit*>(map)[from]; });
}

template <class Unit>
__device__ inline void split(const Unit* whole, const Map* maps, i64 pixels, int c) {
  each_unit(maps, pixels, c, [=](i64 at, i64 map, i64 to) {
    if (map) reinterpret_cast<Unit*>(map)[to] = whole[at];
  });
}

typedef Vec<unsigned, 4> Bytes16;
typedef unsigned Bytes4;
typedef unsigned short Bytes2;

#define SENET_KERNELS(suffix, Unit)                                                                        \
  extern "C" __global__ void concat_##suffix(Unit* whole, const Map* maps, i64 pixels, int c) {            \
    join(whole, maps, pixels, c);                                                                          \
  }                                                                                                        \
  extern "C" __global__ void concat_grad_##suffix(const Unit* whole, const Map* maps, i64 pixels, int c) { \
    split(whole, maps, pixels, c);                                                                         \
  }
SENET_KERNELS(b16, Bytes16)
SENET_KERNELS(b4, Bytes4)
SENET_KERNELS(b2, Bytes2)
