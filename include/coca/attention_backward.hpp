#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>

#include "coca/core/any_tensor.hpp"
#include "coca/core/parallel.hpp"
#include "coca/core/scalar.hpp"
#include "coca/core/view.hpp"
#include "coca/kernel/backward.hpp"
#include "coca/kernel/backward_call.hpp"
#include "coca/kernel/checks.hpp"
#include "coca/kernel/options.hpp"
#include "coca/mask/full.hpp"
#include "coca/mask/mask.hpp"
#include "coca/scheme/adjoint.hpp"

/// The front door of training: the gradients of coca::attention.
namespace coca::inline v0 {

namespace detail {

inline void check_same_shape(std::string_view name, const std::array<Index, 4>& was,
                             std::string_view of, const std::array<Index, 4>& expected) {
  if (was == expected) return;
  reject(name, "of shape " + list_text(was), list_text(expected).append(", that of ").append(of));
}

/// Calls visit(name, view) for each output beside dq, dk and dv that is asked for.
template <class Visit>
void for_each_given(const MoreGradients& more, const Visit& visit) {
  const auto if_given = [&](std::string_view name, const auto& choice) {
    std::visit(
        [&](const auto& x) {
          if constexpr (requires { x.shape; }) visit(name, x);
        },
        choice);
  };
  if_given("more.sinks", more.sinks);
  if_given("more.bias", more.bias);
}

/// That an output is not where an input, or another output, is.
template <class X>
void check_apart_from_all(std::string_view name, const X& x, const BackwardTensors& tensors,
                          const LseInput& lse, const AttentionOptions& options) {
  const auto apart = [&](std::string_view other_name, const auto& other) {
    if (name != other_name) check_apart(name, x, other_name, other);
  };
  apart("dout", tensors.dout);
  apart("q", tensors.q);
  apart("k", tensors.k);
  apart("v", tensors.v);
  apart("out", tensors.out);
  apart("dq", tensors.dq);
  apart("dk", tensors.dk);
  apart("dv", tensors.dv);
  std::visit([&](const auto& view) { apart("lse", view); }, lse);
  check_apart_from_options(name, x, options);
}

inline void check_gradients(const BackwardTensors& tensors, const LseInput& lse,
                            const AttentionOptions& options, const AttentionShape& shape) {
  check_view("out", tensors.out);
  check_view("dout", tensors.dout);
  const std::array<Index, 4> wanted{shape.batch, shape.queries, shape.query_heads, shape.value_dim};
  check_same_shape("out", tensors.out.shape, "coca::attention's result", wanted);
  check_same_shape("dout", tensors.dout.shape, "out", wanted);
  std::visit(
      [&](const auto& view) {
        check_view("lse", view);
        const std::array<Index, 3> rows{shape.batch, shape.query_heads, shape.queries};
        if (view.shape == rows) return;
        reject("lse", "of shape " + list_text(view.shape),
               list_text(rows) + " = [batch, heads of q, sequence]");
      },
      lse);
  const auto output = [&](std::string_view name, const AnyOutput& x, std::string_view of,
                          const AnyInput& operand) {
    check_output(name, x);
    check_same_shape(name, x.shape, of, operand.shape);
    check_apart_from_all(name, x, tensors, lse, options);
  };
  output("dq", tensors.dq, "q", tensors.q);
  output("dk", tensors.dk, "k", tensors.k);
  output("dv", tensors.dv, "v", tensors.v);
}

inline void check_more(const MoreGradients& more, const AttentionOptions& options,
                       const AttentionShape& shape, const BackwardTensors& tensors,
                       const LseInput& lse) {
  const std::array<Index, 4> pairs{shape.batch, shape.query_heads, shape.queries, shape.keys};
  const auto workspace = workspace_view(options);
  for_each_given(more, [&](std::string_view name, const auto& x) {
    check_output(name, x);
    check_apart_from_all(name, x, tensors, lse, options);
    check_apart("options.workspace", workspace, name, x);
    for_each_given(more, [&](std::string_view other_name, const auto& other) {
      if (name != other_name) check_apart(name, x, other_name, other);
    });
    if constexpr (std::tuple_size_v<decltype(x.shape)> == 1) {
      if (std::holds_alternative<std::monostate>(options.sinks)) {
        reject(name, "given", "none, as there are no options.sinks");
      }
      require_equal("more.sinks.shape[0]", x.shape[0], shape.query_heads, "heads of q");
    } else {
      for (std::size_t axis = 0; axis < 4; ++axis) {
        if (x.shape[axis] == pairs[axis] || x.shape[axis] == 1) continue;
        reject(name, "of shape " + list_text(x.shape),
               list_text(pairs) + " with 1 where it is the same for all");
      }
    }
  });
  check_apart_from_all("options.workspace", workspace, tensors, lse, options);
}

/// Strides of 0 where one number stands for all.
template <class T>
View<T, 4> broadcast(View<T, 4> x) {
  for (std::size_t axis = 0; axis < 4; ++axis) {
    if (x.shape[axis] == 1) x.strides[axis] = 0;
  }
  return x;
}

/// How items and workers may add to the gradient of a bias.
struct BiasSharing {
  bool items = false;  ///< several of them add to one number
  bool cells = false;  ///< of one item as well

  BiasSharing(const MoreGradients& more, const AttentionShape& shape) {
    for_each_given(more, [&](std::string_view, const auto& x) {
      if constexpr (std::tuple_size_v<decltype(x.shape)> == 4) {
        items = x.shape[0] < shape.batch || x.shape[1] < shape.query_heads;
        cells = x.shape[2] < shape.queries || x.shape[3] < shape.keys;
      }
    });
  }
};

template <Real T, class S, class M, class D>
void run_backward(const BackwardTensors& tensors, const LseInput& lse, const S& scheme,
                  const M& mask, const AttentionOptions& options, const MoreGradients& more,
                  const D& device) {
  check_view("q", tensors.q);
  check_view("k", tensors.k);
  check_view("v", tensors.v);
  const AttentionShape shape = check_inputs(tensors.q, tensors.k, tensors.v);
  check_inputs_of_options(options, shape);
  check_gradients(tensors, lse, options, shape);
  check_scheme<T>(scheme, tensors.k.shape[3], shape);
  mask.check(shape);
  check_more(more, options, shape, tensors, lse);
  if (options.checked) check_keys<T>(scheme, tensors.k, false);

  MoreGradients added = more;
  std::visit(
      [&](auto& bias) {
        if constexpr (requires { bias.shape; }) bias = broadcast(bias);
      },
      added.bias);
  const Sequences sequences{.count = shape.batch,
                            .queries = shape.queries,
                            .keys = shape.keys,
                            .first_query = options.first_query,
                            .first_key = options.first_key};
  const double scale =
      options.scale.value_or(1.0 / std::sqrt(static_cast<double>(shape.query_dim)));
  const BackwardWidths<T> widths(tile_engine<T>(target()), shape, scheme.score_dim(shape.query_dim),
                                 tensors.k.shape[3]);
  const BiasSharing sharing(more, shape);
  const BackwardPlan plan(sequences, shape, widths, thread_count(device),
                          sharing.cells ? 1 : helper_count(device), sharing.items);
  backward(
      BackwardCall<T, S, M>{tensors, lse, scheme, mask, shape, sequences, static_cast<T>(scale),
                            static_cast<T>(options.soft_cap), options, added},
      plan, widths, device);
}

/// Whether the types of a call fit together; if not, the one message that says why not.
template <class DQ, class DK, class DV, class Q, class K, class V, class S, class M, class D>
constexpr bool checked_backward_types() {
  if constexpr (!checked_types<DQ, Q, K, V, S, M, D>()) {
    return false;
  } else if constexpr (!(TensorLike<DK> && TensorLike<DV>)) {
    static_assert(
        TensorLike<DK> && TensorLike<DV>,
        "coca::attention_backward: dk and dv must be tensors with four axes, or matrices");
    return false;
  } else {
    using T = Accumulator<ElementOf<Q>>;
    constexpr bool writable = !std::is_const_v<typename ValueOf<ViewOf<DK>>::type> &&
                              !std::is_const_v<typename ValueOf<ViewOf<DV>>::type>;
    static_assert(writable, "coca::attention_backward: dk and dv must not be const");
    static_assert(Compatible<ElementOf<DK>, ElementOf<DV>, ElementOf<Q>>,
                  "coca::attention_backward: double goes with double only");
    static_assert(AdjointOfQueries<S, T>,
                  "coca::attention_backward: the scheme has a map_query, but no map_query_adjoint "
                  "declared beside it; see coca/scheme/adjoint.hpp");
    static_assert(AdjointOfKeys<S, T>,
                  "coca::attention_backward: the scheme has a map_key, but no map_key_adjoint "
                  "declared beside it; see coca/scheme/adjoint.hpp");
    static_assert(DerivesLogits<S, T>,
                  "coca::attention_backward: the scheme changes logits, but has no "
                  "logit_derivative declared beside its logit (of WithLogits: its transform has no "
                  "derivative); see coca/scheme/adjoint.hpp");
    return writable && Differentiable<S, T>;
  }
}

}  // namespace detail

/// The gradients of a loss by the operands of coca::attention, from that by its result:
///     P = exp(s - lse),  dS = P (dout . v - dout . out),
///     dv = P^T dout,  dq and dk from dS by the scores' derivatives (docs/mathematics.md),
/// with s the scores after mask and soft-cap. Scores are computed again, so work memory is as long as a
/// sequence, never its square.
///
/// - dq, dk, dv: shaped as q, k and v; for the CoCA schemes dk is the gradient of t, or of x
/// - dout: the gradient of out, shaped as it
/// - q, k, v, scheme, mask, options: those of coca::attention
/// - out: its result
/// - lse: what it gave as options.lse, [batch, query heads, queries], float or double
/// - more: gradients of sinks and biases, if asked for
///
/// Types, strides and devices are as for coca::attention; gradients may be of another type than
/// operands (float beside bfloat16). options.lse is not looked at. The result is the same, bit for bit,
/// on any number of threads. Work memory is options.workspace, backward_workspace_bytes of it, or else
/// belongs to the calling thread and is kept for its next call.
///
/// A key that no query sees, and a query that sees no key, have gradients of 0. NaN and Inf stay with
/// the queries and keys that see each other.
///
/// The scheme needs the adjoints of scheme/adjoint.hpp, which all of the library's have; a mask's own
/// biases take none. Throws std::invalid_argument, naming argument, value and expectation, before
/// anything is written: as coca::attention does, for shapes of gradients that are not those of their
/// operands, and for outputs that overlap an input or each other.
template <class DQ, class DK, class DV, TensorLike DOut, class Q, class K, class V, TensorLike Out,
          detail::Viewable Lse, class S, class M = Full, class D = Eigen::DefaultDevice>
void attention_backward(DQ&& dq, DK&& dk, DV&& dv, const DOut& dout, const Q& q, const K& k,
                        const V& v, const Out& out, const Lse& lse, const S& scheme,
                        const M& mask = {}, const AttentionOptions& options = {},
                        const MoreGradients& more = {}, const D& device = {}) {
  using namespace detail;
  if constexpr (checked_backward_types<DQ, DK, DV, const Q, const K, const V, S, M, D>()) {
    static_assert(Compatible<ElementOf<DOut>, ElementOf<Out>, ElementOf<Q>>,
                  "coca::attention_backward: double goes with double only");
    const auto lse_view = view(lse);
    using L = std::remove_const_t<typename ValueOf<std::remove_const_t<decltype(lse_view)>>::type>;
    static_assert(
        Real<L> && RankOf<std::remove_const_t<decltype(lse_view)>>::value == 3,
        "coca::attention_backward: lse must be [batch, heads, queries] of float or double");
    run_backward<Accumulator<ElementOf<Q>>>(
        {tensor_view(dq), tensor_view(dk), tensor_view(dv), tensor_view(dout), tensor_view(q),
         tensor_view(k), tensor_view(v), tensor_view(out)},
        LseInput(View<const L, 3>(lse_view)), scheme, mask, options, more, device);
  }
}

/// Bytes of work memory that suffice for a call with these tensors, scheme and device: for each sequence
/// and key head that is worked on at a time, twice phi and a row of dout for all of its queries, and three
/// times psi and twice a value for all of its keys; and for each thread three tiles of 66 x 128 scores.
/// Only shapes are looked at. Throws
/// std::invalid_argument for shapes that do not fit together.
template <TensorLike Q, TensorLike K, TensorLike V, class S, class D = Eigen::DefaultDevice>
std::size_t backward_workspace_bytes(const Q& q, const K& k, const V& v, const S& scheme,
                                     const D& device = {}) {
  using namespace detail;
  using T = Accumulator<ElementOf<Q>>;
  const AnyInput keys = tensor_view(k);
  const AttentionShape shape = check_inputs(tensor_view(q), keys, tensor_view(v));
  check_scheme<T>(scheme, keys.shape[3], shape);
  const Sequences sequences{.count = shape.batch, .queries = shape.queries, .keys = shape.keys};
  const BackwardWidths<T> widths(tile_engine<T>(target()), shape, scheme.score_dim(shape.query_dim),
                                 keys.shape[3]);
  const int threads = thread_count(device);
  const auto bytes = [&](bool one_by_one) {
    const BackwardPlan plan(sequences, shape, widths, threads, threads, one_by_one);
    return plan.bytes(widths, plan.most_workers());
  };
  // Whatever gradients are asked for: those of sinks are kept by blocks of queries, and those of biases may
  // forbid one way of sharing out the work.
  const Index sinks =
      shape.batch * shape.query_heads * BackwardCut(shape.queries, shape.keys).count();
  return std::max(bytes(false), bytes(true)) +
         aligned_bytes(static_cast<std::size_t>(sinks) * sizeof(double)) + kAlignment - 1;
}

}  // namespace coca::inline v0
