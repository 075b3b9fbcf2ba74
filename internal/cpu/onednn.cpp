#include "onednn.h"

#include <dnnl.hpp>

#include <string>
#include <vector>

using dnnl::memory;
using tag = memory::format_tag;

struct senet_engine {
  dnnl::engine engine{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream{engine};
};

struct senet_layout {
  memory::desc desc;
};

struct senet_primitive {
  dnnl::primitive primitive;
  std::vector<memory> memories;       // the arguments in the order of bind, then the workspace
  std::vector<dnnl_exec_arg_t> args;  // one for each memory
  size_t scratch_bytes;
  std::string name;
};

namespace {

constexpr auto f32 = memory::data_type::f32;

thread_local std::string message;

template <typename F>
const char* guard(F f) {
  try {
    f();
    return nullptr;
  } catch (const std::exception& e) {
    message = e.what();
    return message.c_str();
  }
}

memory::desc activation(int n, int c, int h, int w) { return {{n, c, h, w}, f32, tag::nhwc}; }
memory::desc vector(int n) { return {{n}, f32, tag::a}; }

memory::dims weight_dims(const senet_conv_shape& s) {
  if (s.groups == 1) return {s.k, s.c, s.r, s.s};
  return {s.groups, s.k / s.groups, s.c / s.groups, s.r, s.s};
}

memory::desc any_weight(const senet_conv_shape& s) { return {weight_dims(s), f32, tag::any}; }

// Where the last window ends short of the padded edge, the right padding shrinks to what is used.
memory::dims right_pad(const senet_conv_shape& s) {
  return {(s.p - 1) * s.stride + s.r - s.h - s.pad, (s.q - 1) * s.stride + s.s - s.w - s.pad};
}

dnnl::primitive_attr user_scratch() {
  dnnl::primitive_attr a;
  a.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return a;
}

struct Argument {
  int slot;  // DNNL_ARG_...
  memory::desc desc;
};

template <typename P, typename PD>
senet_primitive* wrap(senet_engine* e, const PD& pd, std::vector<Argument> arguments) {
  const memory::desc scratch = pd.scratchpad_desc();
  auto* out = new senet_primitive{P(pd), {}, {}, scratch.get_size(), pd.impl_info_str()};
  arguments.push_back({DNNL_ARG_SCRATCHPAD, scratch});
  for (const Argument& a : arguments) {
    out->memories.emplace_back(a.desc, e->engine, nullptr);
    out->args.push_back({a.slot, out->memories.back().get()});
  }
  return out;
}

dnnl::convolution_forward::primitive_desc forward_desc(senet_engine* e, const senet_conv_shape& s, dnnl::prop_kind kind,
                                                       bool with_bias, const dnnl::post_ops& epilogue) {
  dnnl::primitive_attr attr = user_scratch();
  attr.set_post_ops(epilogue);
  return {e->engine,
          kind,
          dnnl::algorithm::convolution_direct,
          activation(s.n, s.c, s.h, s.w),
          any_weight(s),
          with_bias ? vector(s.k) : memory::desc(),
          activation(s.n, s.k, s.p, s.q),
          {s.stride, s.stride},
          {s.pad, s.pad},
          right_pad(s),
          attr};
}

// The forward convolution that oneDNN wants to see when it prepares a gradient.
dnnl::convolution_forward::primitive_desc hint(senet_engine* e, const senet_conv_shape& s, bool with_bias) {
  return forward_desc(e, s, dnnl::prop_kind::forward_training, with_bias, {});
}

}  // namespace

extern "C" {

const char* senet_onednn_version(void) {
  static const std::string version = [] {
    const dnnl_version_t* v = dnnl_version();
    return std::to_string(v->major) + "." + std::to_string(v->minor) + "." + std::to_string(v->patch);
  }();
  return version.c_str();
}

const char* senet_engine_new(senet_engine** out) {
  return guard([&] { *out = new senet_engine; });
}

void senet_engine_free(senet_engine* e) { delete e; }

const char* senet_layout_plain(const senet_conv_shape* s, senet_layout** out) {
  return guard(
      [&] { *out = new senet_layout{memory::desc(weight_dims(*s), f32, s->groups == 1 ? tag::oihw : tag::goihw)}; });
}

const char* senet_layout_taps(const senet_conv_shape* s, senet_layout** out) {
  return guard([&] { *out = new senet_layout{memory::desc(weight_dims(*s), f32, tag::hwio)}; });
}

size_t senet_layout_bytes(const senet_layout* l) { return l->desc.get_size(); }
int senet_layout_equal(const senet_layout* a, const senet_layout* b) { return a->desc == b->desc; }

const char* senet_layout_describe(const senet_layout* l) {
  message.clear();
  for (const memory::dims& part : {l->desc.get_dims(), l->desc.get_padded_dims(), l->desc.get_strides(),
                                   l->desc.get_inner_blks(), l->desc.get_inner_idxs()}) {
    for (memory::dim d : part) message += std::to_string(d) + " ";
    message += "|";
  }
  return message.c_str();
}

void senet_layout_free(senet_layout* l) { delete l; }

const char* senet_layout_copy(senet_engine* e, const senet_layout* from, const float* src, const senet_layout* to,
                              float* dst) {
  return guard([&] {
    memory a(from->desc, e->engine, const_cast<float*>(src)), b(to->desc, e->engine, dst);
    dnnl::reorder(a, b).execute(e->stream, a, b);
    e->stream.wait();
  });
}

const char* senet_conv_new(senet_engine* e, const senet_conv_shape* s, int epilogue, senet_layout** weight,
                           senet_primitive** out) {
  return guard([&] {
    const memory::desc y = activation(s->n, s->k, s->p, s->q);
    std::vector<Argument> more;
    dnnl::post_ops ops;
    if (epilogue & SENET_CONV_BIAS) more.push_back({DNNL_ARG_BIAS, vector(s->k)});
    const auto binary = [&](dnnl::algorithm what, const memory::desc& operand) {
      more.push_back({DNNL_ARG_ATTR_MULTIPLE_POST_OP(ops.len()) | DNNL_ARG_SRC_1, operand});
      ops.append_binary(what, operand);
    };
    if (epilogue & SENET_CONV_GATE) binary(dnnl::algorithm::binary_mul, activation(1, s->k, 1, 1));
    if (epilogue & SENET_CONV_RESIDUAL) binary(dnnl::algorithm::binary_add, y);
    if (epilogue & SENET_CONV_RELU) ops.append_eltwise(dnnl::algorithm::eltwise_relu, 0.f, 0.f);
    auto pd = forward_desc(e, *s, dnnl::prop_kind::forward_inference, epilogue & SENET_CONV_BIAS, ops);
    std::vector<Argument> arguments = {
        {DNNL_ARG_SRC, pd.src_desc()}, {DNNL_ARG_WEIGHTS, pd.weights_desc()}, {DNNL_ARG_DST, y}};
    arguments.insert(arguments.end(), more.begin(), more.end());
    *out = wrap<dnnl::convolution_forward>(e, pd, arguments);
    *weight = new senet_layout{pd.weights_desc()};
  });
}

const char* senet_conv_grad_input_new(senet_engine* e, const senet_conv_shape* s, senet_layout** weight,
                                      senet_primitive** out) {
  return guard([&] {
    dnnl::convolution_backward_data::primitive_desc pd(
        e->engine, dnnl::algorithm::convolution_direct, activation(s->n, s->c, s->h, s->w), any_weight(*s),
        activation(s->n, s->k, s->p, s->q), {s->stride, s->stride}, {s->pad, s->pad}, right_pad(*s), hint(e, *s, false),
        user_scratch());
    *out = wrap<dnnl::convolution_backward_data>(e, pd,
                                                 {{DNNL_ARG_DIFF_DST, pd.diff_dst_desc()},
                                                  {DNNL_ARG_WEIGHTS, pd.weights_desc()},
                                                  {DNNL_ARG_DIFF_SRC, pd.diff_src_desc()}});
    *weight = new senet_layout{pd.weights_desc()};
  });
}

const char* senet_conv_grad_weight_new(senet_engine* e, const senet_conv_shape* s, int with_bias, senet_layout** weight,
                                       senet_primitive** out) {
  return guard([&] {
    dnnl::convolution_backward_weights::primitive_desc pd(
        e->engine, dnnl::algorithm::convolution_direct, activation(s->n, s->c, s->h, s->w), any_weight(*s),
        with_bias ? vector(s->k) : memory::desc(), activation(s->n, s->k, s->p, s->q), {s->stride, s->stride},
        {s->pad, s->pad}, right_pad(*s), hint(e, *s, with_bias), user_scratch());
    std::vector<Argument> arguments = {{DNNL_ARG_DIFF_DST, pd.diff_dst_desc()},
                                       {DNNL_ARG_DIFF_WEIGHTS, pd.diff_weights_desc()},
                                       {DNNL_ARG_SRC, pd.src_desc()}};
    if (with_bias) arguments.push_back({DNNL_ARG_DIFF_BIAS, vector(s->k)});
    *out = wrap<dnnl::convolution_backward_weights>(e, pd, arguments);
    *weight = new senet_layout{pd.diff_weights_desc()};
  });
}

const char* senet_reorder_new(senet_engine* e, const senet_layout* from, const senet_layout* to,
                              senet_primitive** out) {
  return guard([&] {
    dnnl::reorder::primitive_desc pd(e->engine, from->desc, e->engine, to->desc, user_scratch());
    *out = wrap<dnnl::reorder>(e, pd, {{DNNL_ARG_FROM, from->desc}, {DNNL_ARG_TO, to->desc}});
  });
}

const char* senet_matmul_new(senet_engine* e, int m, int k, int n, int trans_a, int trans_b, int with_bias,
                             senet_primitive** out) {
  return guard([&] {
    const memory::desc a({m, k}, f32, trans_a ? tag::ba : tag::ab), b({k, n}, f32, trans_b ? tag::ba : tag::ab);
    const memory::desc c({m, n}, f32, tag::ab), bias({1, n}, f32, tag::ab);
    dnnl::matmul::primitive_desc pd(e->engine, a, b, with_bias ? bias : memory::desc(), c, user_scratch());
    std::vector<Argument> arguments = {{DNNL_ARG_SRC, a}, {DNNL_ARG_WEIGHTS, b}, {DNNL_ARG_DST, c}};
    if (with_bias) arguments.push_back({DNNL_ARG_BIAS, bias});
    *out = wrap<dnnl::matmul>(e, pd, arguments);
  });
}

size_t senet_primitive_scratch(const senet_primitive* p) { return p->scratch_bytes; }
const char* senet_primitive_name(const senet_primitive* p) { return p->name.c_str(); }

const char* senet_primitive_bind(senet_primitive* p, void** args, void* scratch) {
  return guard([&] {
    for (size_t i = 0; i + 1 < p->memories.size(); i++) p->memories[i].set_data_handle(args[i]);
    p->memories.back().set_data_handle(scratch);
  });
}

// The C call: dnnl.hpp's execute copies the arguments into a new vector each time.
const char* senet_primitive_run(senet_engine* e, senet_primitive* p) {
  const dnnl_stream_t stream = e->stream.get();
  const bool ok =
      dnnl_primitive_execute(p->primitive.get(), stream, int(p->args.size()), p->args.data()) == dnnl_success &&
      dnnl_stream_wait(stream) == dnnl_success;
  return ok ? nullptr : "the primitive failed";
}

void senet_primitive_free(senet_primitive* p) { delete p; }
}
