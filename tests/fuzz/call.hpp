#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <span>
#include <stdexcept>
#include <utility>
#include <variant>
#include <vector>

#include "coca/coca.hpp"
#include "coca/reference/attention.hpp"
#include "fuzz/mask.hpp"
#include "fuzz/operand.hpp"
#include "support/bounds.hpp"
#include "support/forms.hpp"

/// What the calls of the front door's fuzzers have in common: sizes and types, operands, a mask,
/// options, and what may be wrong with them.

namespace fuzz {

using coca::AttentionOptions;
using coca::AttentionShape;
using coca::TensorView;
using coca::detail::AnyInput;
using coca::detail::AnyOutput;
using test::Tensor;

[[noreturn]] inline void found(const char* what, double was = 0.0, double expected = 0.0) {
  std::fprintf(stderr, "fuzz: %s: %.17g, expected %.17g\n", what, was, expected);
  std::abort();
}
inline void require(bool holds, const char* what) {
  if (!holds) found(what);
}
/// NaN is not near anything, and what is equal is near, infinite or not.
inline void require_near(const char* what, double was, double expected, double bound) {
  if (was != expected && !(std::fabs(was - expected) <= bound)) found(what, was, expected);
}
/// What results may lose beside their rounding: below the smallest normal number of what is computed
/// with, `terms` numbers may become 0, and a result is rounded to a denormal of its type.
inline double lost(ElementType type, double terms) {
  if (type == ElementType::float64) return terms * std::numeric_limits<double>::min();
  return terms * static_cast<double>(std::numeric_limits<float>::min()) +
         (type == ElementType::float16 ? 0x1p-24 : 0.0);
}

/// One thread or two.
inline const Eigen::ThreadPoolDevice& device(bool two) {
  static Eigen::ThreadPool pool(1);
  static const Eigen::ThreadPoolDevice alone(&pool, 1), both(&pool, 2);
  return two ? both : alone;
}

/// What is wrong with a call, if anything. A fuzzer has a list of those it makes.
enum class Wrong {
  nothing,
  k_batch,
  v_keys,
  v_heads,
  groups,
  k_width,
  shape,  ///< of a tensor that is no operand
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
  // of packed calls
  place,  ///< options.first_query or first_key
  no_starts,
  starts_begin,
  starts_fall,
  starts_end,
  starts_count,
  // of gradients
  overlapping_gradients,
  bias_shape,
  sinks_without,
  sinks_shape,
  // of any, chosen last
  misaligned,
};

constexpr std::array kNarrowTypes{ElementType::float32, ElementType::bfloat16,
                                  ElementType::float16};

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
  MaskMaker masks;
  bool two_threads = false;

  template <std::size_t N>
  Call(Choices& c, const std::array<Wrong, N>& kinds)
      : choose(c), wrong(c.one_in(4) ? c.pick(kinds) : Wrong::nothing), masks(c) {
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
      q_type = k_type = v_type = out_type = choose.pick(kNarrowTypes);
      if (choose.one_in(3)) k_type = choose.pick(kNarrowTypes);
      if (choose.one_in(3)) v_type = choose.pick(kNarrowTypes);
      if (choose.one_in(3)) out_type = choose.pick(kNarrowTypes);
    }
  }

  Index query_heads() const { return key_heads * group + more(Wrong::groups); }
  /// 1 more where that is what is wrong.
  Index more(Wrong what) const { return wrong == what ? 1 : 0; }

  /// For `entries` batch entries, or for all alike if that is 1.
  MaskedTokens masked_tokens(Index entries, Index most_queries, Index most_keys) const {
    return {entries,   query_heads(),     most_queries,
            most_keys, options.first_key, options.first_query};
  }

  void choose_logits() {
    if (choose.one_in(3)) options.scale = choose.pick(std::array{0.0, -0.5, 3.0, 1e-3});
    if (choose.one_in(3)) options.soft_cap = choose.pick(std::array{0.5, 30.0, 1e-3});
  }
  void choose_places() {
    if (choose.one_in(3)) options.first_key = choose.integer(-300, 1 << 20);
    if (choose.one_in(3)) options.first_query = options.first_key + choose.integer(-40, 300);
  }
  void choose_ids_and_sinks() {
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
  }
  coca::View<double, 3> lse_view() {
    lse.resize(static_cast<std::size_t>(batch * query_heads() * queries), 0.0);
    return {lse.data(), {batch, query_heads(), queries}};
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
    if (wrong == Wrong::sinks) {
      sinks.resize(static_cast<std::size_t>(query_heads() + 1));
      options.sinks = coca::View<const float, 1>(sinks.data(), {query_heads() + 1});
    }
    if (wrong == Wrong::ids) {
      key_ids.resize(static_cast<std::size_t>(keys + 1));
      options.key_ids = {key_ids.data(), {1, keys + 1}};
    }
    if (wrong == Wrong::workspace) workspace.resize(1);
  }

  /// Makes tensors wrong, if that is what shall be; `written` is one that the call writes. Returns
  /// whether the call must throw, for whatever is wrong with it.
  bool spoil_tensors(AnyInput& q, AnyInput& k, AnyInput& v, AnyOutput& written) {
    switch (wrong) {
      case Wrong::nothing:
        return false;
      case Wrong::groups:
        return key_heads != 1;
      case Wrong::negative:
        q.shape[1] = -1;
        return true;
      case Wrong::null:
        v.data = nullptr;
        return !v.empty();
      case Wrong::zero_stride:
        written.strides[1] = 0;
        return !written.empty() && written.shape[1] > 1;
      case Wrong::overlap:
        return change_one(q, k, v, [&](auto& x) { return share_memory(x, written); });
      case Wrong::misaligned:
        if (choose.one_in(5)) return misalign(written);
        return change_one(q, k, v, [&](auto& x) { return misalign(x); });
      default:
        return true;
    }
  }

  /// Puts a view where some of another one is. Returns whether they then have memory in common.
  template <class X>
  bool share_memory(X& x, const AnyOutput& written) {
    if (x.empty() || written.empty()) return false;
    const Index element = coca::detail::MemoryView(x).element_bytes;
    const auto [x_begin, x_end] = reach(x);
    const auto [begin, end] = reach(written);
    const Index first = choose.integer(1 - (x_end - x_begin) / element,
                                       std::max<Index>((end - begin) / element, 1) - 1);
    move(x, begin - begin % element + first * element - x_begin);
    return true;
  }

  /// Makes a call, which must throw or must not. Returns whether it was a right one; whatever it was,
  /// it has written nothing but all of `written`, or nothing at all.
  template <class Run>
  bool runs(bool must_throw, const std::vector<Operand*>& written, const Run& run) const {
    std::vector<std::vector<std::byte>> before;
    for (Operand* x : written) before.push_back(x->memory());
    try {
      run();
    } catch (const std::invalid_argument& error) {
      if (!must_throw) std::fprintf(stderr, "%s\n", error.what());
      require(must_throw, "a right call is refused");
      for (std::size_t i = 0; i < written.size(); ++i) {
        require(written[i]->memory() == before[i], "a refused call has written");
      }
      return false;
    }
    require(!must_throw, "a wrong call is accepted");
    if (wrong != Wrong::nothing) return false;
    for (std::size_t i = 0; i < written.size(); ++i) check_memory(*written[i], before[i]);
    return true;
  }

  /// What later versions of this fuzzer choose beside the rest, of a call that is right so far: logits of
  /// up to `scales` times those of ordinary scales, threads, a mask.
  template <std::size_t N>
  void choose_more(ChosenMask& seen, const MaskedTokens& tokens, bool may_add,
                   const std::array<double, N>& scales) {
    if (wrong != Wrong::nothing) return;
    if (choose.one_in(4)) {
      options.scale = choose.pick(scales);
      if (choose.one_in(3)) options.soft_cap = choose.pick(std::array{1e3, 1e6});
    }
    if (choose.one_in(2)) seen = masks.more(tokens, may_add);
    two_threads = choose.one_in(2);
  }
  void choose_misaligned() {
    if (wrong == Wrong::nothing && choose.one_in(16)) wrong = Wrong::misaligned;
  }

  /// Calls run(mask): with one that only hides, if it does; its kernel is another one.
  template <class T, class Form, class Run>
  static auto with_mask(const ChosenMask& seen, const Run& run) {
    if constexpr (kMayAdd<T, Form>) {
      if (seen.adds) return run(seen.mask);
    }
    return run(static_cast<const AnyHiding&>(seen.mask));
  }
  /// Where masks may add to scores: in one kernel of them all, as each takes its time to compile.
  template <class T, class Form>
  static constexpr bool kMayAdd =
      std::is_same_v<T, float>&& std::is_same_v<decltype(Form::scheme), coca::Dot>;

  /// The magnitude of the scale.
  double scale() const {
    return std::fabs(options.scale.value_or(1.0 / std::sqrt(static_cast<double>(dim))));
  }
  /// The largest sum of the magnitudes of a score's terms, scaled.
  template <class Form>
  double magnitude(const Form& form, const Tensor<double>& q, const Tensor<double>& k) const {
    return scale() * (form.coca
                          ? test::coca_magnitude(test::longest_row(q), test::largest(k))
                          : test::linear_magnitude(test::longest_row(q), test::longest_row(k)));
  }

 private:
  /// Calls change(view) for one of what a call is given to read, or for the log-sum-exp.
  template <class Change>
  bool change_one(AnyInput& q, AnyInput& k, AnyInput& v, const Change& change) {
    switch (choose.integer(0, 6)) {
      case 0:
        return change(v);
      case 1:
        return change(q);
      case 2:
        return change(k);
      case 3:
        return change(options.query_ids);
      case 4:
        return change(options.key_ids);
      case 5:
        return options.sinks && change(options.sinks);
      default:
        return options.lse && change(options.lse);
    }
  }

  /// Addresses from the first byte to behind the last.
  template <class X>
  static std::pair<Index, Index> reach(const X& x) {
    Index low = 0, high = 1;
    for (std::size_t axis = 0; axis < x.shape.size(); ++axis) {
      const Index end = (x.shape[axis] - 1) * x.strides[axis];
      (end < 0 ? low : high) += end;
    }
    const auto first = static_cast<Index>(reinterpret_cast<std::uintptr_t>(x.data));
    const Index element = coca::detail::MemoryView(x).element_bytes;
    return {first + low * element, first + high * element};
  }
  template <class X>
  static void move(X& x, Index bytes) {
    x.data = reinterpret_cast<decltype(x.data)>(reinterpret_cast<std::uintptr_t>(x.data) +
                                                static_cast<std::uintptr_t>(bytes));
  }
  /// Returns whether a view has elements, which are then where they may not be.
  template <class X>
  bool misalign(X& x) {
    const Index element = coca::detail::MemoryView(x).element_bytes;
    if (x.data == nullptr) return false;
    move(x, choose.integer(1, element - 1));
    return !x.empty();
  }

  static void check_memory(Operand& x, const std::vector<std::byte>& before) {
    const std::vector<bool> mine = x.element_bytes();
    for (std::size_t i = 0; i < before.size(); ++i) {
      require(mine[i] || x.memory()[i] == before[i], "a call has written beside its output");
    }
  }
};

/// q, k and v of a call.
struct Inputs {
  Operand q, k, v;
  bool half_width;

  Inputs(const Call& call, bool half)
      : q({call.batch, call.queries, call.query_heads(), call.dim}, call.q_type,
          Operand::Use::input, call.choose),
        k({call.batch + call.more(Wrong::k_batch), call.keys, call.key_heads,
           (half ? call.dim / 2 : call.dim) + call.more(Wrong::k_width)},
          call.k_type, Operand::Use::input, call.choose),
        v({call.batch, call.keys + call.more(Wrong::v_keys),
           call.key_heads + call.more(Wrong::v_heads), call.value_dim},
          call.v_type, Operand::Use::input, call.choose),
        half_width(half) {}

  /// Returns how many strange numbers there are.
  Index fill(Choices& choose) {
    q.fill(false, choose);
    k.fill(half_width, choose);
    v.fill(false, choose);
    const Index strange = choose.integer(0, 3);
    q.poison(strange > 1 ? 1 : 0, choose);
    k.poison(strange, choose);
    v.poison(strange, choose);
    return strange;
  }

  /// Whether some keys are ordinary, and their values.
  bool ordinary_keys(const std::vector<Index>& some, Index entry, Index first_key, Index key_head) {
    return std::ranges::all_of(some, [&](Index n) {
      return k.ordinary_token(entry, first_key + n, key_head) &&
             v.ordinary_token(entry, first_key + n, key_head);
    });
  }
};

/// The keys that a query of a call of the reference sees.
template <class ReferenceCall>
std::vector<Index> seen_keys(const ReferenceCall& call, Index b, Index h, Index m) {
  std::vector<Index> seen;
  coca::Site site{b, h, m, 0, call.query_positions().first, call.key_positions().first};
  for (; site.key_index < call.k.shape[1]; ++site.key_index) {
    if (call.mask.visible(site)) seen.push_back(site.key_index);
  }
  return seen;
}

/// Whether what is added to the scores of some keys is a number.
template <class ReferenceCall>
bool finite_biases(const ReferenceCall& call, const std::vector<Index>& some, Index b, Index h,
                   Index m) {
  return std::ranges::all_of(some, [&](Index n) {
    return std::isfinite(call.mask.bias(
        coca::Site{b, h, m, n, call.query_positions().first, call.key_positions().first}));
  });
}

/// One call of a kind, of any scheme beside its definition.
template <class AnyCall>
void one(Choices& choose) {
  AnyCall call(choose);
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
