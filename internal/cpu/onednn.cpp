#include "onednn.h"

#include <dnnl.hpp>

#include <string>
#include <unordered_map>
#include <vector>

using dnnl::memory;
using tag = memory::format_tag;
using f32 = std::integral_constant<memory::data_type, memory::data_type::f32>;

struct senet_engine {
  dnnl::engine engine{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream{engine};
};

struct senet_layout {
  memory::desc desc;
};

struct senet_primitive {
  dnnl::primitive primitive;
  std::vector<int> slots;            // DNNL_ARG_... of each argument, in the order of bind
  std::vector<memory> memories;      // one for each slot
  memory scratch;                    // workspace, shared with other primitives
  size_t scratch_bytes;
  std::string name;
  std::unordered_map<int, memory> args;
};

namespace {

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

memory::desc activation(int n, int c, int h, int w) { return {{n, c, h, w}, f32::value, tag::nhwc}; }

memory::dims weight_dims(const senet_conv_shape& s) {
  if (s.groups == 1) return {s.k, s.c, s.r, s.s};
  return {s.groups, s.k / s.groups, s.c / s.groups, s.r, s.s};
}

memory::desc plain_weight(const senet_conv_shape& s) {
  return {weight_dims(s), f32::value, s.groups == 1 ? tag::oihw : tag::goihw};
}

memory::desc wanted(const senet_conv_shape& s, senet_layout* l) {
  return l ? l->desc : memory::desc(weight_dims(s), f32::value, tag::any);
}

// Where the last window ends short of the padded edge, the right padding shrinks to what is used.
memory::dims right_pad(const senet_conv_shape& s) {
  return {(s.p - 1) * s.stride + s.r - s.h - s.pad, (s.q - 1) * s.stride + s.s - s.w - s.pad};
}

dnnl::primitive_attr user_scratch() {
  dnnl::primitive_attr a;
  a.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return a;
}

// Wraps a primitive; descs are those of the slots.
template <typename PD>
senet_primitive* wrap(senet_engine* e, const PD& pd, const dnnl::primitive& p, std::vector<int> slots,
                      const std::vector<memory::desc>& descs) {
  auto* out = new senet_primitive{p, std::move(slots), {}, memory(pd.scratchpad_desc(), e->engine, nullptr),
                                  pd.scratchpad_desc().get_size(), pd.impl_info_str(), {}};
  for (size_t i = 0; i < descs.size(); i++) {
    out->memories.emplace_back(descs[i], e->engine, nullptr);
    out->args.emplace(out->slots[i], out->memories[i]);
  }
  out->args.emplace(DNNL_ARG_SCRATCHPAD, out->scratch);
  return out;
}

dnnl::convolution_forward::primitive_desc forward_desc(senet_engine* e, const senet_conv_shape& s, int epilogue,
                                                       bool inference, senet_layout* weight) {
  dnnl::post_ops ops;
  if (epilogue & SENET_CONV_RESIDUAL)
    ops.append_binary(dnnl::algorithm::binary_add, activation(s.n, s.k, s.p, s.q));
  if (epilogue & SENET_CONV_RELU) ops.append_eltwise(dnnl::algorithm::eltwise_relu, 0.f, 0.f);
  dnnl::primitive_attr attr = user_scratch();
  attr.set_post_ops(ops);
  memory::desc bias = epilogue & SENET_CONV_BIAS ? memory::desc({s.k}, f32::value, tag::a) : memory::desc();
  return {e->engine,
          inference ? dnnl::prop_kind::forward_inference : dnnl::prop_kind::forward_training,
          dnnl::algorithm::convolution_direct,
          activation(s.n, s.c, s.h, s.w),
          wanted(s, weight),
          bias,
          activation(s.n, s.k, s.p, s.q),
          {s.stride, s.stride},
          {s.pad, s.pad},
          right_pad(s),
          attr};
}

void keep(senet_layout** l, const memory::desc& d) {
  if (!*l) *l = new senet_layout{d};
}

const char* reorder(senet_engine* e, const memory::desc& from, const void* src, const memory::desc& to, void* dst) {
  return guard([&] {
    memory a(from, e->engine, const_cast<void*>(src)), b(to, e->engine, dst);
    dnnl::reorder(a, b).execute(e->stream, a, b);
    e->stream.wait();
  });
}

}  // namespace

extern "C" {

const char* senet_onednn_version(void) {
  static const std::string v = [] {
    const dnnl_version_t* d = dnnl_version();
    return std::to_string(d->major) + "." + std::to_string(d->minor) + "." + std::to_string(d->patch);
  }();
  return v.c_str();
}

const char* senet_engine_new(senet_engine** out) {
  return guard([&] { *out = new senet_engine; });
}

void senet_engine_free(senet_engine* e) { delete e; }

size_t senet_layout_bytes(const senet_layout* l) { return l->desc.get_size(); }
int senet_layout_equal(const senet_layout* a, const senet_layout* b) { return a->desc == b->desc; }
void senet_layout_free(senet_layout* l) { delete l; }

const char* senet_layout_pack(senet_engine* e, const senet_conv_shape* s, const senet_layout* l, const float* plain,
                              float* packed) {
  return reorder(e, plain_weight(*s), plain, l->desc, packed);
}

const char* senet_layout_unpack(senet_engine* e, const senet_conv_shape* s, const senet_layout* l, const float* packed,
                                float* plain) {
  return reorder(e, l->desc, packed, plain_weight(*s), plain);
}

const char* senet_conv_new(senet_engine* e, const senet_conv_shape* s, int epilogue, int inference, senet_layout** weight,
                           senet_primitive** out) {
  return guard([&] {
    auto pd = forward_desc(e, *s, epilogue, inference != 0, *weight);
    keep(weight, pd.weights_desc());
    std::vector<int> slots = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST};
    std::vector<memory::desc> descs = {pd.src_desc(), pd.weights_desc(), pd.dst_desc()};
    if (epilogue & SENET_CONV_BIAS) {
      slots.push_back(DNNL_ARG_BIAS);
      descs.push_back(pd.bias_desc());
    }
    if (epilogue & SENET_CONV_RESIDUAL) {
      slots.push_back(DNNL_ARG_ATTR_MULTIPLE_POST_OP(0) | DNNL_ARG_SRC_1);
      descs.push_back(pd.dst_desc());
    }
    *out = wrap(e, pd, dnnl::convolution_forward(pd), slots, descs);
  });
}

const char* senet_conv_grad_input_new(senet_engine* e, const senet_conv_shape* s, senet_layout** weight,
                                      senet_primitive** out) {
  return guard([&] {
    auto hint = forward_desc(e, *s, 0, false, nullptr);
    dnnl::convolution_backward_data::primitive_desc pd(
        e->engine, dnnl::algorithm::convolution_direct, activation(s->n, s->c, s->h, s->w), wanted(*s, *weight),
        activation(s->n, s->k, s->p, s->q), {s->stride, s->stride}, {s->pad, s->pad}, right_pad(*s), hint,
        user_scratch());
    keep(weight, pd.weights_desc());
    *out = wrap(e, pd, dnnl::convolution_backward_data(pd), {DNNL_ARG_DIFF_DST, DNNL_ARG_WEIGHTS, DNNL_ARG_DIFF_SRC},
                {pd.diff_dst_desc(), pd.weights_desc(), pd.diff_src_desc()});
  });
}

const char* senet_conv_grad_weight_new(senet_engine* e, const senet_conv_shape* s, int with_bias, senet_layout** weight,
                                       senet_primitive** out) {
  return guard([&] {
    auto hint = forward_desc(e, *s, with_bias ? SENET_CONV_BIAS : 0, false, nullptr);
    memory::desc bias = with_bias ? memory::desc({s->k}, f32::value, tag::a) : memory::desc();
    dnnl::convolution_backward_weights::primitive_desc pd(
        e->engine, dnnl::algorithm::convolution_direct, activation(s->n, s->c, s->h, s->w), wanted(*s, *weight), bias,
        activation(s->n, s->k, s->p, s->q), {s->stride, s->stride}, {s->pad, s->pad}, right_pad(*s), hint,
        user_scratch());
    keep(weight, pd.diff_weights_desc());
    std::vector<int> slots = {DNNL_ARG_DIFF_DST, DNNL_ARG_SRC, DNNL_ARG_DIFF_WEIGHTS};
    std::vector<memory::desc> descs = {pd.diff_dst_desc(), pd.src_desc(), pd.diff_weights_desc()};
    if (with_bias) {
      slots.push_back(DNNL_ARG_DIFF_BIAS);
      descs.push_back(pd.diff_bias_desc());
    }
    *out = wrap(e, pd, dnnl::convolution_backward_weights(pd), slots, descs);
  });
}

const char* senet_reorder_new(senet_engine* e, const senet_layout* a, const senet_layout* b, senet_primitive** out) {
  return guard([&] {
    dnnl::reorder::primitive_desc pd(e->engine, a->desc, e->engine, b->desc, user_scratch());
    *out = wrap(e, pd, dnnl::reorder(pd), {DNNL_ARG_FROM, DNNL_ARG_TO}, {a->desc, b->desc});
  });
}

const char* senet_matmul_new(senet_engine* e, int m, int k, int n, int trans_a, int trans_b, int with_bias,
                             senet_primitive** out) {
  return guard([&] {
    memory::desc a({m, k}, f32::value, trans_a ? tag::ba : tag::ab);
    memory::desc b({k, n}, f32::value, trans_b ? tag::ba : tag::ab);
    memory::desc c({m, n}, f32::value, tag::ab);
    memory::desc bias = with_bias ? memory::desc({1, n}, f32::value, tag::ab) : memory::desc();
    dnnl::matmul::primitive_desc pd(e->engine, a, b, bias, c, user_scratch());
    std::vector<int> slots = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST};
    std::vector<memory::desc> descs = {a, b, c};
    if (with_bias) {
      slots.push_back(DNNL_ARG_BIAS);
      descs.push_back(bias);
    }
    *out = wrap(e, pd, dnnl::matmul(pd), slots, descs);
  });
}

size_t senet_primitive_scratch(const senet_primitive* p) { return p->scratch_bytes; }
const char* senet_primitive_name(const senet_primitive* p) { return p->name.c_str(); }

void senet_primitive_bind(senet_primitive* p, void** args, void* scratch) {
  for (size_t i = 0; i < p->memories.size(); i++) p->memories[i].set_data_handle(args[i]);
  p->scratch.set_data_handle(scratch);
}

const char* senet_primitive_run(senet_engine* e, senet_primitive* p) {
  return guard([&] {
    p->primitive.execute(e->stream, p->args);
    e->stream.wait();
  });
}

void senet_primitive_free(senet_primitive* p) { delete p; }
}
