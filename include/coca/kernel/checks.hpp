#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "coca/core/aligned.hpp"
#include "coca/core/any_tensor.hpp"
#include "coca/core/error.hpp"
#include "coca/core/parallel.hpp"
#include "coca/core/scalar.hpp"
#include "coca/core/view.hpp"
#include "coca/kernel/load.hpp"
#include "coca/kernel/options.hpp"
#include "coca/mask/mask.hpp"
#include "coca/position/token_positions.hpp"
#include "coca/scheme/scheme.hpp"

/// What is asked of a call before anything is computed: of its types when it is compiled, of its
/// sizes, memory and options when it is made.
namespace coca::inline v0::detail {

/// The lowest and one past the highest address a view reaches.
template <class X>
std::pair<std::uintptr_t, std::uintptr_t> address_range(const X& x) {
  Index low = 0;
  Index high = 1;
  for (std::size_t axis = 0; axis < x.shape.size(); ++axis) {
    const Index reach = (x.shape[axis] - 1) * x.strides[axis];
    (reach < 0 ? low : high) += reach;
  }
  const auto first = reinterpret_cast<std::uintptr_t>(x.data);
  const Index bytes = element_bytes(x);
  return {first + static_cast<std::uintptr_t>(low * bytes),
          first + static_cast<std::uintptr_t>(high * bytes)};
}

template <class X>
void check_extents(std::string_view name, const X& x) {
  for (const Index extent : x.shape) {
    if (extent < 0) reject(name, "of shape " + list_text(x.shape), "extents of 0 or more");
  }
}

template <class X>
void check_view(std::string_view name, const X& x) {
  check_extents(name, x);
  if (!x.empty() && x.data == nullptr) {
    reject(name, "a null pointer of shape " + list_text(x.shape), "memory behind it");
  }
  check_aligned(name, x);
}

/// A tensor to write into: its elements lie apart from each other as far as strides can tell.
template <class X>
void check_output(std::string_view name, const X& x) {
  check_view(name, x);
  if (x.empty()) return;
  for (std::size_t axis = 0; axis < x.shape.size(); ++axis) {
    if (x.shape[axis] > 1 && x.strides[axis] == 0) {
      reject(std::string(name) + ".strides", list_text(x.strides),
             "none of 0 in a tensor that is written");
    }
  }
}

template <class Out, class In>
void check_apart(std::string_view out_name, const Out& out, std::string_view in_name,
                 const In& in) {
  // A tensor of shapes alone stands for a cache.
  if (out.empty() || in.empty() || in.data == nullptr) return;
  const auto [out_begin, out_end] = address_range(out);
  const auto [in_begin, in_end] = address_range(in);
  if (out_begin < in_end && in_begin < out_end) {
    reject(out_name, std::string("in the same memory as ").append(in_name), "memory of its own");
  }
}

/// Tensors whose strides are 0 may be of any size. Up to these, rows and bytes of work memory can be counted.
inline constexpr Index kMostDim = Index{1} << 40;
inline constexpr double kMostRows = 0x1p62;

/// The sizes of a call by the shapes of its inputs. `packed`: the caller's tensors have no batch
/// axis, so texts should not speak of one.
inline AttentionShape check_inputs(const AnyInput& q, const AnyInput& k, const AnyInput& v,
                                   bool packed = false) {
  check_extents("q", q);
  check_extents("k", k);
  check_extents("v", v);
  const AttentionShape shape{.batch = q.shape[0],
                             .queries = q.shape[1],
                             .keys = k.shape[1],
                             .query_heads = q.shape[2],
                             .key_heads = k.shape[2],
                             .query_dim = q.shape[3],
                             .value_dim = v.shape[3]};
  const auto axis = [&](const char* tensor, int number, const char* meaning) {
    return std::string(tensor) + ".shape[" + std::to_string(number - packed) + "] (" + meaning +
           ")";
  };
  const auto same = [&](const char* tensor, int number, const char* meaning, Index was,
                        Index expected, const char* why) {
    // No text is made, and so no memory taken, unless there is something to say.
    if (was != expected) require_equal(axis(tensor, number, meaning), was, expected, why);
  };
  same("k", 0, "batch", k.shape[0], shape.batch, "that of q");
  same("v", 0, "batch", v.shape[0], shape.batch, "that of q");
  same("v", 1, "sequence", v.shape[1], shape.keys, "that of k");
  same("v", 2, "heads", v.shape[2], shape.key_heads, "that of k");
  const bool groups =
      shape.key_heads == 0 ? shape.query_heads == 0 : shape.query_heads % shape.key_heads == 0;
  if (!groups) {
    reject(axis("k", 2, "heads"), std::to_string(shape.key_heads),
           "a divisor of the " + std::to_string(shape.query_heads) + " heads of q");
  }
  const auto dim = [&](const char* tensor, Index was) {
    if (was >= 1 && was <= kMostDim) return;
    reject(axis(tensor, 3, "head_dim"), std::to_string(was),
           was < 1 ? "1 or more" : "at most 2^40");
  };
  dim("q", shape.query_dim);
  dim("v", shape.value_dim);
  const double rows = static_cast<double>(shape.batch) * static_cast<double>(shape.queries) *
                      static_cast<double>(shape.query_heads);
  if (rows > kMostRows) {
    reject("q", "of shape " + list_text(std::span(q.shape).subspan(packed ? 1 : 0)),
           "at most 2^62 rows in all heads");
  }
  return shape;
}

/// That the output has the shape that follows from the inputs, and memory of its own.
inline void check_result(const Tensors& tensors, const AttentionShape& shape, bool packed = false) {
  const auto& [out, q, k, v] = tensors;
  check_output("out", out);
  const auto text = [packed](const std::array<Index, 4>& extents) {
    return list_text(std::span(extents).subspan(packed ? 1 : 0));
  };
  const std::array<Index, 4> wanted{shape.batch, shape.queries, shape.query_heads, shape.value_dim};
  if (out.shape != wanted) {
    reject("out", "of shape " + text(out.shape),
           text(wanted) + (packed ? " = [sequence" : " = [batch, sequence") +
               ", heads of q, head_dim of v]");
  }
  check_apart("out", out, "q", q);
  check_apart("out", out, "k", k);
  check_apart("out", out, "v", v);
}

inline AttentionShape check_tensors(const Tensors& tensors, bool packed = false) {
  check_extents("out", tensors.out);
  check_view("q", tensors.q);
  check_view("k", tensors.k);
  check_view("v", tensors.v);
  const AttentionShape shape = check_inputs(tensors.q, tensors.k, tensors.v, packed);
  check_result(tensors, shape, packed);
  return shape;
}

/// That the scheme fits the call, takes key operands this wide, and says how wide its maps are.
template <Real T, class S>
void check_scheme(const S& scheme, Index key_width, const AttentionShape& shape,
                  std::string_view name = "k.shape[3] (width of the key operand)") {
  scheme.check(shape);
  const Index query_dim = shape.query_dim;
  const auto width = static_cast<Index>(scheme.score_dim(query_dim));
  if (width < 1) reject("scheme.score_dim", std::to_string(width), "1 or more");
  if constexpr (KeepsQueries<S, T>) {
    require_equal("scheme.score_dim", width, query_dim, "head_dim of q, which it keeps as it is");
  }
  if constexpr (KeepsKeys<S, T>) {
    require_equal("scheme.score_dim", width, static_cast<Index>(scheme.key_dim(query_dim)),
                  "key_dim, as it keeps keys as they are");
  }
  require_equal(name, key_width, static_cast<Index>(scheme.key_dim(query_dim)),
                "what the scheme takes");
}

/// That memory to be written lies apart from the tensors.
template <class X>
void check_apart_from_tensors(std::string_view name, const X& x, const Tensors& tensors) {
  check_apart(name, x, "out", tensors.out);
  check_apart(name, x, "q", tensors.q);
  check_apart(name, x, "k", tensors.k);
  check_apart(name, x, "v", tensors.v);
}

/// The options that both passes read.
inline void check_inputs_of_options(const AttentionOptions& options, const AttentionShape& shape) {
  if (options.scale && !std::isfinite(*options.scale)) {
    reject("options.scale", std::to_string(*options.scale), "finite");
  }
  if (!(options.soft_cap >= 0.0) || !std::isfinite(options.soft_cap)) {
    reject("options.soft_cap", std::to_string(options.soft_cap),
           "0 (none) or positive, and finite");
  }
  std::visit(
      [&](const auto& sinks) {
        if constexpr (requires { sinks.shape; }) {
          check_view("options.sinks", sinks);
          require_equal("options.sinks.shape[0]", sinks.shape[0], shape.query_heads, "heads of q");
        }
      },
      options.sinks);
  TokenPositions{0, options.query_ids}.check("options.query_ids", shape.batch, shape.queries);
  TokenPositions{0, options.key_ids}.check("options.key_ids", shape.batch, shape.keys);
}

/// That memory to be written lies apart from what the options bring to be read.
template <class X>
void check_apart_from_options(std::string_view name, const X& x, const AttentionOptions& options) {
  std::visit(
      [&](const auto& sinks) {
        if constexpr (requires { sinks.shape; }) check_apart(name, x, "options.sinks", sinks);
      },
      options.sinks);
  check_apart(name, x, "options.query_ids", options.query_ids);
  check_apart(name, x, "options.key_ids", options.key_ids);
}

inline View<std::byte, 1> workspace_view(const AttentionOptions& options) {
  return {options.workspace.data(), {static_cast<Index>(options.workspace.size())}};
}

inline void check_options(const AttentionOptions& options, const AttentionShape& shape,
                          const Tensors& tensors) {
  check_inputs_of_options(options, shape);
  check_apart_from_options("out", tensors.out, options);
  const auto workspace = workspace_view(options);
  std::visit(
      [&](const auto& lse) {
        if constexpr (requires { lse.shape; }) {
          check_output("options.lse", lse);
          const std::array<Index, 3> wanted{shape.batch, shape.query_heads, shape.queries};
          if (lse.shape != wanted) {
            reject("options.lse", "of shape " + list_text(lse.shape),
                   list_text(wanted) + " = [batch, heads of q, sequence]");
          }
          check_apart_from_tensors("options.lse", lse, tensors);
          check_apart_from_options("options.lse", lse, options);
          check_apart("options.workspace", workspace, "options.lse", lse);
        }
      },
      options.lse);
  check_apart_from_tensors("options.workspace", workspace, tensors);
  check_apart_from_options("options.workspace", workspace, options);
}

/// Checked mode: no key operand the scheme forbids.
template <Real T, class S>
void check_keys(const S& scheme, const AnyInput& k, bool packed) {
  if constexpr (ChecksKeys<S, T>) {
    std::vector<T> scratch(static_cast<std::size_t>(k.shape[3]));
    for (Index b = 0; b < k.shape[0]; ++b) {
      for (Index n = 0; n < k.shape[1]; ++n) {
        for (Index h = 0; h < k.shape[2]; ++h) {
          const T* row = contiguous_row(narrow_engine(target()),
                                        TokenRows<const std::byte>(k, b, h), n, scratch.data());
          if (const char* defect = scheme.key_defect(std::span(row, scratch.size()))) {
            const std::array<Index, 3> place{b, n, h};
            reject(std::string("k").append(list_text(std::span(place).subspan(packed ? 1 : 0))),
                   defect, "what its scheme allows: 0 or more");
          }
        }
      }
    }
  }
}

/// Whether the types of a call fit together; if not, the one message that says why not, and
/// nothing after it.
template <class Out, class Q, class K, class V, class S, class M, class D>
constexpr bool checked_types() {
  if constexpr (!(TensorLike<Out> && TensorLike<Q> && TensorLike<K> && TensorLike<V>)) {
    static_assert(TensorLike<Out> && TensorLike<Q> && TensorLike<K> && TensorLike<V>,
                  "coca::attention: out, q, k and v must be tensors with four axes, or matrices, "
                  "with memory behind them; evaluate expressions first");
    return false;
  } else {
    constexpr bool writable = !std::is_const_v<typename ValueOf<ViewOf<Out>>::type>;
    constexpr bool elements = Element<ElementOf<Out>> && Element<ElementOf<Q>> &&
                              Element<ElementOf<K>> && Element<ElementOf<V>>;
    if constexpr (!writable) {
      static_assert(writable, "coca::attention: out is const, so nothing can be written to it");
      return false;
    } else if constexpr (!elements) {
      static_assert(elements,
                    "coca::attention: elements must be float, double, Eigen::bfloat16 or "
                    "Eigen::half");
      return false;
    } else if constexpr (!Compatible<ElementOf<Out>, ElementOf<Q>, ElementOf<K>, ElementOf<V>>) {
      static_assert(Compatible<ElementOf<Out>, ElementOf<Q>, ElementOf<K>, ElementOf<V>>,
                    "coca::attention: double goes with double only; convert, or use one type");
      return false;
    } else if constexpr (!Scheme<S, Accumulator<ElementOf<Q>>>) {
      static_assert(Scheme<S, Accumulator<ElementOf<Q>>>,
                    "coca::attention: the scheme lacks a member, or has it with another type; see "
                    "SchemeDefaults in coca/scheme/scheme.hpp");
      return false;
    } else if constexpr (!Mask<M>) {
      static_assert(Mask<M>,
                    "coca::attention: the mask lacks a member, or has it with another type; see "
                    "MaskDefaults in coca/mask/mask.hpp");
      return false;
    } else if constexpr (!Device<D>) {
      static_assert(Device<D>,
                    "coca::attention: the device must be Eigen::DefaultDevice or "
                    "Eigen::ThreadPoolDevice");
      return false;
    } else {
      // A hook that is there under its name but cannot be called would be passed over in silence.
      static_assert(
          !requires { &S::logit; } || TransformsLogits<S, Accumulator<ElementOf<Q>>>,
          "coca::attention: the scheme's logit must be `T logit(T, const Site&) const`");
      static_assert(
          !requires { &M::bias; } || Biased<M>,
          "coca::attention: the mask's bias must be `number bias(const Site&) const`");
      return true;
    }
  }
}

}  // namespace coca::inline v0::detail
