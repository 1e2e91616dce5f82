#include <cstdio>
#include <cstdlib>
#include <stdexcept>

#include "coca/coca.hpp"
#include "coca/reference/attention.hpp"
#include "fuzz/operand.hpp"
#include "support/bounds.hpp"
#include "support/forms.hpp"
#include "support/masks.hpp"

/// The front door under any call. A right one gives what the reference does in every row that meets
/// ordinary numbers only, whatever the others meet, and writes nothing else; a wrong one throws
/// std::invalid_argument and writes nothing.

// support/forms.hpp leaves these to another file. Here they are compiled with the sanitizers.
namespace coca::inline v0::detail {
template const TileEngine<float>& tile_engine(Target);
template const TileEngine<double>& tile_engine(Target);
}  // namespace coca::inline v0::detail

namespace fuzz {

using coca::AttentionOptions;
using coca::AttentionShape;
using coca::Position;
using test::AnyMask;
using test::Tensor;

[[noreturn]] void found(const char* what, double was = 0.0, double expected = 0.0) {
  std::fprintf(stderr, "fuzz: %s: %g, expected %g\n", what, was, expected);
  std::abort();
}
void require(bool holds, const char* what) {
  if (!holds) found(what);
}

/// What is wrong with a call, if anything.
enum class Wrong {
  nothing,
  k_batch,
  v_keys,
  v_heads,
  groups,
  k_width,
  out_shape,
  negative,
  null,
  zero_stride,
  scale,
  soft_cap,
  lse,
  sinks,
  ids,
  overlap,
  workspace,
  kMaxValue = workspace
};

struct Call {
  Choices& choose;
  Wrong wrong;
  Index batch, queries, keys, key_heads, group, dim, value_dim;
  ElementType q_type, k_type, v_type, out_type;
  AttentionOptions options{};
  std::vector<float> sinks;
  std::vector<double> lse;
  std::vector<Position> query_ids, key_ids;
  std::vector<std::byte> workspace;
  std::vector<char> allowed;

  explicit Call(Choices& c)
      : choose(c), wrong(c.one_in(4) ? c.bytes.ConsumeEnum<Wrong>() : Wrong::nothing) {
    // Several tiles of rows, or blocks of keys, but seldom: the reference takes its time.
    const bool large = choose.one_in(8);
    batch = large ? 1 : choose.integer(0, 2);
    queries = choose.integer(0, large ? 130 : 9);
    keys = choose.integer(0, !large ? 18 : queries > 9 ? 20 : 270);
    key_heads = large ? 1 : choose.integer(0, 2);
    group = choose.integer(1, large ? 2 : 3);
    dim = 2 * choose.integer(1, large ? 2 : 18);
    value_dim = choose.integer(1, 40);
    if (choose.one_in(5)) {
      q_type = k_type = v_type = out_type = ElementType::float64;
    } else {
      constexpr std::array types{ElementType::float32, ElementType::bfloat16, ElementType::float16};
      q_type = k_type = v_type = out_type = choose.pick(types);
      if (choose.one_in(3)) k_type = choose.pick(types);
      if (choose.one_in(3)) v_type = choose.pick(types);
      if (choose.one_in(3)) out_type = choose.pick(types);
    }
  }

  Index query_heads() const { return key_heads * group + (wrong == Wrong::groups ? 1 : 0); }
  bool empty() const { return batch * queries * key_heads == 0; }

  AnyMask mask() {
    switch (choose.integer(0, 5)) {
      case 0:
        return AnyMask(coca::Full{});
      case 1:
        return AnyMask(coca::Causal{choose.integer(-20, 20)});
      case 2:
        return AnyMask(coca::SlidingWindow{choose.integer(0, 30), choose.integer(0, 30)});
      case 3:
        return AnyMask(coca::PrefixLm{choose.integer(0, 30)});
      case 4:
        return AnyMask(coca::Causal{} & coca::SlidingWindow{choose.integer(0, 140), 5});
      default: {
        const Index rows = choose.one_in(2) ? 1 : queries;
        const auto often = static_cast<unsigned>(choose.integer(0, 4));  // of 4; 0 hides all
        allowed.resize(static_cast<std::size_t>(rows * keys));
        for (char& one : allowed) one = choose.values() % 4 < often ? 1 : 0;
        return AnyMask(coca::BooleanMask(coca::View<const bool, 4>(
            reinterpret_cast<const bool*>(allowed.data()), {1, 1, rows, keys})));
      }
    }
  }

  void choose_options() {
    if (choose.one_in(3)) options.scale = choose.pick(std::array{0.0, -0.5, 3.0, 1e-3});
    if (choose.one_in(3)) options.soft_cap = choose.pick(std::array{0.5, 30.0, 1e-3});
    if (choose.one_in(3)) options.first_key = choose.integer(-300, 1 << 20);
    if (choose.one_in(3)) options.first_query = options.first_key + choose.integer(-40, 300);
    if (choose.one_in(3)) {
      query_ids.resize(static_cast<std::size_t>(queries));
      key_ids.resize(static_cast<std::size_t>(batch * keys));
      for (auto* ids : {&query_ids, &key_ids}) {
        for (Position& id : *ids) id = static_cast<Position>(choose.values() % 5000) - 1000;
      }
      if (!query_ids.empty()) options.query_ids = {query_ids.data(), {1, queries}};
      if (!key_ids.empty()) options.key_ids = {key_ids.data(), {batch, keys}};
    }
    if (choose.one_in(3)) {
      sinks.resize(static_cast<std::size_t>(query_heads()));
      for (float& sink : sinks) {
        sink = choose.values() % 4 == 0 ? static_cast<float>(-kInfinity)
                                        : static_cast<float>(4.0 * choose.unit());
      }
      options.sinks = coca::View<const float, 1>(sinks.data(), {query_heads()});
    }
    lse.resize(static_cast<std::size_t>(batch * query_heads() * queries), 0.0);
    options.lse = coca::View<double, 3>(lse.data(), {batch, query_heads(), queries});
  }

  /// Makes the options wrong, if that is what shall be.
  void spoil_options() {
    if (wrong == Wrong::scale) {
      options.scale = choose.pick(std::array{std::numeric_limits<double>::quiet_NaN(), kInfinity});
    }
    if (wrong == Wrong::soft_cap) {
      options.soft_cap =
          choose.pick(std::array{std::numeric_limits<double>::quiet_NaN(), kInfinity, -1.0});
    }
    if (wrong == Wrong::lse) {
      options.lse = coca::View<double, 3>(lse.data(), {batch, query_heads(), queries + 1});
    }
    if (wrong == Wrong::sinks) {
      sinks.resize(static_cast<std::size_t>(query_heads() + 1));
      options.sinks = coca::View<const float, 1>(sinks.data(), {query_heads() + 1});
    }
    if (wrong == Wrong::ids) {
      key_ids.resize(static_cast<std::size_t>(keys + 1));
      options.key_ids = {key_ids.data(), {1, keys + 1}};
    }
  }

  /// One call of a scheme beside its definition.
  template <class T, class Form>
  void run(const Form& form) {
    const Index width = form.half_width ? dim / 2 : dim;
    const auto more = [&](Wrong what) { return wrong == what ? 1 : 0; };
    Operand q({batch, queries, query_heads(), dim}, q_type, Operand::Use::input, choose);
    Operand k({batch + more(Wrong::k_batch), keys, key_heads, width + more(Wrong::k_width)}, k_type,
              Operand::Use::input, choose);
    Operand v({batch, keys + more(Wrong::v_keys), key_heads + more(Wrong::v_heads), value_dim},
              v_type, Operand::Use::input, choose);
    Operand out({batch, queries + more(Wrong::out_shape), query_heads(), value_dim}, out_type,
                Operand::Use::output, choose);
    q.fill(false, choose);
    k.fill(form.half_width, choose);
    v.fill(false, choose);
    const Index strange = choose.integer(0, 3);
    q.poison(strange > 1 ? 1 : 0, choose);
    k.poison(strange, choose);
    v.poison(strange, choose);
    const AnyMask seen = mask();
    choose_options();
    if (strange == 0 && choose.one_in(2)) options.checked = true;
    spoil_options();

    coca::detail::Tensors tensors{out.view<std::byte>(), q.view<const std::byte>(),
                                  k.view<const std::byte>(), v.view<const std::byte>()};
    bool must_throw = wrong != Wrong::nothing;
    if (wrong == Wrong::groups) must_throw = key_heads != 1;
    if (wrong == Wrong::negative) tensors.q.shape[1] = -1;
    if (wrong == Wrong::null) {
      tensors.v.data = nullptr;
      must_throw = batch * keys * key_heads != 0;
    }
    if (wrong == Wrong::zero_stride) {
      tensors.out.strides[1] = 0;
      must_throw = !empty() && queries > 1;
    }
    if (wrong == Wrong::overlap) {
      tensors.v.data = tensors.out.data;
      must_throw = !empty() && keys > 0;
    }
    if (wrong == Wrong::workspace) workspace.resize(1);
    if (wrong == Wrong::nothing && choose.one_in(4)) workspace.resize(bytes<T>(form.scheme));
    options.workspace = workspace;

    const std::vector<std::byte> before = out.memory();
    try {
      coca::detail::run_attention<T>(tensors, form.scheme, seen, options, Eigen::DefaultDevice{});
    } catch (const std::invalid_argument& error) {
      if (!must_throw) std::fprintf(stderr, "%s\n", error.what());
      require(must_throw, "a right call is refused");
      require(out.memory() == before, "a refused call has written");
      return;
    }
    require(!must_throw, "a wrong call is accepted");
    if (wrong != Wrong::nothing) return;
    check_memory(out, before);
    if (!empty()) compare<T>(form, q, k, v, out, seen);
  }

  /// What coca::workspace_bytes says.
  template <class T, class Scheme>
  std::size_t bytes(const Scheme& scheme) const {
    const AttentionShape shape{batch, queries, keys, query_heads(), key_heads, dim, value_dim};
    return coca::detail::sequences_bytes<T>({.count = batch, .queries = queries, .keys = keys},
                                            shape, scheme.score_dim(dim), scheme.key_dim(dim),
                                            Eigen::DefaultDevice{});
  }

  void check_memory(Operand& out, const std::vector<std::byte>& before) {
    const std::vector<bool> mine = out.element_bytes();
    for (std::size_t i = 0; i < before.size(); ++i) {
      require(mine[i] || out.memory()[i] == before[i], "a call has written beside its output");
    }
  }

  template <class T, class Form>
  void compare(const Form& form, Operand& q, Operand& k, Operand& v, Operand& out,
               const AnyMask& seen) {
    const Tensor<double> wide_q = q.wide(true), wide_k = k.wide(true), wide_v = v.wide(true);
    Tensor<double> wide_out(out.shape());
    std::vector<double> wide_lse(lse.size());
    AttentionOptions wide_options = options;
    wide_options.lse = coca::View<double, 3>(wide_lse.data(), {batch, query_heads(), queries});
    test::reference::attention(wide_out.view(), wide_q.view(), wide_k.view(), wide_v.view(),
                               form.definition, seen, wide_options);

    const Tensor<double> q_ordinary = q.wide(false), k_ordinary = k.wide(false);
    const double scale =
        std::fabs(options.scale.value_or(1.0 / std::sqrt(static_cast<double>(dim))));
    const double magnitude =
        scale *
        (form.coca ? test::coca_magnitude(test::longest_row(q_ordinary), test::largest(k_ordinary))
                   : test::linear_magnitude(test::longest_row(q_ordinary),
                                            test::longest_row(k_ordinary)));
    const double value_max = test::largest(v.wide(false));
    const bool narrow = q_type == ElementType::bfloat16 && k_type == ElementType::bfloat16 &&
                        v_type == ElementType::bfloat16;
    const auto bounds = with_type(out_type, [&]<class O>(O) {
      using In = std::conditional_t<std::is_same_v<T, double>, double, float>;
      return narrow ? test::attention_bounds<Eigen::bfloat16, O>(magnitude, options.soft_cap + 4.0,
                                                                 value_max, dim, keys)
                    : test::attention_bounds<In, O>(magnitude, options.soft_cap + 4.0, value_max,
                                                    dim, keys);
    });
    for (Index b = 0; b < batch; ++b) {
      for (Index h = 0; h < query_heads(); ++h) {
        for (Index m = 0; m < queries; ++m) {
          if (!q.ordinary_token(b, m, h) || !sees_ordinary(k, v, seen, b, h, m)) continue;
          for (Index i = 0; i < value_dim; ++i) {
            const double expected = wide_out.view()(b, m, h, i);
            const double was = out.get({b, m, h, i});
            // The narrowest of numbers, where a denormal is rounded to 0 or to the next.
            if (!(std::fabs(was - expected) <= bounds.out + 1e-7)) {
              found("out is not the reference's", was, expected);
            }
          }
          const auto place = static_cast<std::size_t>((b * query_heads() + h) * queries + m);
          if (lse[place] != wide_lse[place] &&
              !(std::fabs(lse[place] - wide_lse[place]) <= bounds.lse)) {
            found("lse is not the reference's", lse[place], wide_lse[place]);
          }
        }
      }
    }
  }

  bool sees_ordinary(Operand& k, Operand& v, const AnyMask& seen, Index b, Index h, Index m) {
    const Position first = options.first_query.value_or(options.first_key + keys - queries);
    for (Index n = 0; n < keys; ++n) {
      if (!seen.visible(coca::Site{b, h, m, n, first, options.first_key})) continue;
      if (!k.ordinary_token(b, n, h / group) || !v.ordinary_token(b, n, h / group)) return false;
    }
    return true;
  }
};

void one(Choices& choose) {
  Call call(choose);
  const auto layout =
      choose.one_in(2) ? coca::RopeLayout::half_split : coca::RopeLayout::interleaved;
  const Index rotary_dim = choose.one_in(3) ? 2 * choose.integer(1, call.dim / 2) : call.dim;
  const coca::Rope rope(
      {.dim = call.dim, .base = 500.0, .rotary_dim = rotary_dim, .layout = layout});
  const Index wanted = choose.integer(0, 7);
  Index number = 0;
  test::for_each_any_form(rope, [&]<class Form>(const Form& form) {
    if (number++ != wanted) return;
    if constexpr (std::is_same_v<std::remove_cvref_t<decltype(form.scheme)>, test::AnyScheme>) {
      if (call.q_type == ElementType::float64) return call.template run<double>(form);
    } else if (call.q_type == ElementType::float64) {
      return;
    }
    call.template run<float>(form);
  });
}

}  // namespace fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Choices choose(data, size);
  fuzz::one(choose);
  return 0;
}
