// running_stats: running (c) += momentum (batch - running), the variance made unbiased. Caller: kernels.go.
void running_stats(const senet_running_stats_args& t) {
  each_vector(t.c, [&](int ch, auto io) {
    const Vec mean = io.get(t.running_mean + ch), var = io.get(t.running_var + ch);
    io.put(t.running_mean + ch, mean + t.momentum * (io.get(t.mean + ch) - mean));
    io.put(t.running_var + ch, var + t.momentum * (io.get(t.var + ch) * t.unbias - var));
  });
}
