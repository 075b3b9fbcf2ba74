// ema: average += weight (value - average), as timm.utils.ModelEmaV2. 12 bytes a value. Caller: update.go.
void ema(const senet_ema_args& t) {
  each_of_all(t.tensors, t.followers, [&](const senet_follower& x, int64_t i, auto io) {
    const Vec average = io.get(x.to + i);
    io.put(x.to + i, fma(broadcast(t.weight), io.get(x.from + i) - average, average));
  });
}
