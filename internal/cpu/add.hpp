// add: out = a + b over count values, 12 bytes each; out may be a or b. Caller: kernels.go.
void add(const senet_add_args& t) {
  const bool past = t.count >= kPastCaches && t.out != t.a && t.out != t.b;
  each_flat(t.count, [&](int64_t i, auto io) { io.put(t.out + i, io.get(t.a + i) + io.get(t.b + i), past); });
}
