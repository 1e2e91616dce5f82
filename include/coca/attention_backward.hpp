#pragma once

#include <cstddef>
#include <type_traits>

#include "coca/core/any_tensor.hpp"
#include "coca/core/parallel.hpp"
#include "coca/core/scalar.hpp"
#include "coca/core/view.hpp"
#include "coca/kernel/backward.hpp"
#include "coca/kernel/call/kernel_call.hpp"
#include "coca/kernel/checks.hpp"
#include "coca/kernel/options.hpp"
#include "coca/mask/full.hpp"
#include "coca/mask/mask.hpp"
#include "coca/scheme/adjoint.hpp"

/// The front door of training: the gradients of coca::attention.
namespace coca::inline v0 {

namespace detail {

/// That gradients, and what they are of, fit the call and lie apart.
COCA_FUNCTION void check_gradients(const BackwardTensors& tensors, const LseInput& lse,
                                   const AttentionOptions& options, const AttentionShape& shape);
/// The same of the gradients of sinks and biases.
COCA_FUNCTION void check_more(const MoreGradients& more, const AttentionOptions& options,
                              const AttentionShape& shape, const BackwardTensors& tensors,
                              const LseInput& lse);
/// With strides of 0 where one number stands for all.
COCA_FUNCTION MoreGradients broadcast(MoreGradients more);

template <Real T, class Types = AnyElements, class S, class M>
void run_backward(const BackwardTensors& tensors, const LseInput& lse, const S& scheme,
                  const M& mask, const AttentionOptions& options, const MoreGradients& more,
                  const AnyDevice& device) {
  check_view("q", tensors.q);
  check_view("k", tensors.k);
  check_view("v", tensors.v);
  const AttentionShape shape = check_inputs(tensors.q, tensors.k, tensors.v);
  check_inputs_of_options(options, shape);
  check_gradients(tensors, lse, options, shape);
  const Index score_dim = check_scheme<T>(scheme, tensors.k.shape[3], shape);
  mask.check(shape);
  check_more(more, options, shape, tensors, lse);
  if (options.checked) check_keys<T>(scheme, tensors.k, false);
  backward(
      BackwardCall<T>{
          {tensors.q, tensors.k, tensors.v, AnyScheme<T>::of(scheme), AnyMask<T>::of(mask), shape,
           score_dim, whole_sequences(shape, options), static_cast<T>(score_scale(options, shape)),
           static_cast<T>(options.soft_cap), options, narrow_engine_for<Types>(), nullptr},
          &kAdjointFunctions<S, T>,
          tensors.dq,
          tensors.dk,
          tensors.dv,
          tensors.dout,
          tensors.out,
          lse,
          broadcast(more)},
      device);
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
    run_backward<Accumulator<ElementOf<Q>>,
                 Elements<ElementOf<DQ>, ElementOf<DK>, ElementOf<DV>, ElementOf<DOut>,
                          ElementOf<Q>, ElementOf<K>, ElementOf<V>, ElementOf<Out>>>(
        {tensor_view(dq), tensor_view(dk), tensor_view(dv), tensor_view(dout), tensor_view(q),
         tensor_view(k), tensor_view(v), tensor_view(out)},
        LseInput(lse_view), scheme, mask, options, more, device);
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
  const Index score_dim = check_scheme<T>(scheme, keys.shape[3], shape);
  return gradient_bytes<T>(whole_sequences(shape, {}), shape, score_dim, keys.shape[3], device);
}

}  // namespace coca::inline v0

#ifndef COCA_COMPILED
#include "coca/attention_backward-inl.hpp"
#endif
