// all_reduce: to = weight from, which packs what the ranks sum: with weight 1 / ranks the sums are means. 8 bytes a value.
// Caller: all_reduce.go.
void all_reduce(const senet_all_reduce_args& t) {
  each_of_all(t.tensors, t.followers,
              [&](const senet_follower& x, int64_t i, auto io) { io.put(x.to + i, t.weight * io.get(x.from + i)); });
}
