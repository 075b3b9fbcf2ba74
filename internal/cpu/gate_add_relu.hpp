// gate_add_relu: out (n, hw, c) = relu?(gate (n, c) x + shortcut), the end of an SE block in inference where the
// convolution cannot do it; x may be out, 12 bytes an element. Null gate or shortcut: absent. Caller: conv.go.
template <bool kGate, bool kShortcut, bool kReLU>
static void gate_add_relu(const senet_gate_add_relu_args& t) {
  const Rows m(t.n, t.hw, t.c);
  const bool past = m.past(kPastCaches) && t.out != t.x && t.out != t.shortcut;
#pragma omp parallel
  {
    float* buffer = static_cast<float*>(__builtin_alloca_with_align(sizeof(float) * m.padded(), 512));
#pragma omp for schedule(static)
    for (int item = 0; item < m.items(); item++) {
      const float* gate = kGate ? spread(m, t.gate + item / m.chunks * int64_t(m.c), buffer) : nullptr;
      each(m, item, [&](int64_t at, int i, auto io) {
        const Vec g = kGate ? io.get(gate + i) : zero();
        Vec v = io.get(t.x + at);
        if constexpr (kGate && kShortcut) v = fma(g, v, io.get(t.shortcut + at));
        else if constexpr (kGate) v = g * v;
        else if constexpr (kShortcut) v += io.get(t.shortcut + at);
        io.put(t.out + at, kReLU ? relu(v) : v, past);
      });
    }
  }
}

void gate_add_relu(const senet_gate_add_relu_args& t) {
  auto with = [&](auto kGate, auto kShortcut) {
    t.relu ? gate_add_relu<kGate, kShortcut, true>(t) : gate_add_relu<kGate, kShortcut, false>(t);
  };
  using Yes = std::true_type;
  using No = std::false_type;
  if (t.gate) return t.shortcut ? with(Yes{}, Yes{}) : with(Yes{}, No{});
  t.shortcut ? with(No{}, Yes{}) : with(No{}, No{});
}
