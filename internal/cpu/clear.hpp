// clear: every value 0. Caller: update.go.
void clear(const senet_clear_args& t) {
  each_of_all(t.tensors, t.followers, [&](const senet_follower& x, int64_t i, auto io) { io.put(x.to + i, zero()); });
}
