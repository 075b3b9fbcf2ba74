// dropout: out = x / (1 - rate) where the draw keeps the element, else 0; its own gradient. The draw is splitmix64 over
// seed, step and the element's number in logical order (n, c, hw), as graph.DropoutAttr.Dropped defines it. It stands
// before the classifier, on (n, c), so its integer loop costs nothing. out may be x. Caller: kernels.go.
void dropout(const senet_dropout_args& t) {
  const uint64_t start = t.seed + (uint64_t(uint32_t(t.step[0])) << 32);
  const float keep = 1.f / (1.f - t.rate);
#pragma omp parallel for schedule(static) collapse(2)
  for (int i = 0; i < t.n; i++) {
    for (int p = 0; p < t.hw; p++) {
      const int64_t at = (int64_t(i) * t.hw + p) * t.c;
      for (int ch = 0; ch < t.c; ch++) {
        uint64_t z = start + (uint64_t(i) * t.c + ch) * t.hw + p;
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
        z = (z ^ z >> 27) * 0x94d049bb133111eb;
        const bool dropped = float((z ^ z >> 31) >> 40) * 0x1p-24f < t.rate;
        t.out[at + ch] = dropped ? 0.f : t.x[at + ch] * keep;
      }
    }
  }
}
