#pragma once

#include <cstddef>

#include "coca/core/any_tensor.hpp"
#include "coca/core/parallel.hpp"
#include "coca/core/scalar.hpp"
#include "coca/core/view.hpp"
#include "coca/kernel/call/kernel_call.hpp"
#include "coca/kernel/checks.hpp"
#include "coca/kernel/forward.hpp"
#include "coca/kernel/options.hpp"
#include "coca/mask/full.hpp"
#include "coca/mask/mask.hpp"
#include "coca/scheme/scheme.hpp"

/// The front door: checks everything, then runs the kernel.
namespace coca::inline v0 {

namespace detail {

/// What follows the checks of shapes: those of options, and the kernel. `score_dim`: the scheme's.
template <Real T, class Types, class S, class M>
void run_sequences(const Tensors& tensors, const S& scheme, Index score_dim, const M& mask,
                   const AttentionShape& shape, const Sequences& sequences,
                   const AttentionOptions& options, const AnyDevice& device) {
  check_options(options, shape, tensors);
  if (options.checked) check_keys<T>(scheme, tensors.k, sequences.packed());
  forward(
      ForwardCall<T>{{tensors.q, tensors.k, tensors.v, AnyScheme<T>::of(scheme),
                      AnyMask<T>::of(mask), shape, score_dim, sequences,
                      static_cast<T>(score_scale(options, shape)), static_cast<T>(options.soft_cap),
                      options, narrow_engine_for<Types>(), bfloat16_functions_for<Types, T>()},
                     tensors.out},
      device);
}

template <Real T, class Types = AnyElements, class S, class M>
void run_attention(const Tensors& tensors, const S& scheme, const M& mask,
                   const AttentionOptions& options, const AnyDevice& device) {
  const AttentionShape shape = check_tensors(tensors);
  const Index score_dim = check_scheme<T>(scheme, tensors.k.shape[3], shape);
  mask.check(shape);
  run_sequences<T, Types>(tensors, scheme, score_dim, mask, shape, whole_sequences(shape, options),
                          options, device);
}

}  // namespace detail

/// Attention of queries to the keys that they see:
///     out[b, m, h] = sum_n p_n v[b, n, h'],
///     p = softmax over n of mask(cap(scale * score(q[b, m, h], k[b, n, h']))),
/// with score(q_m, k_n) = phi(q_m, m) . psi(k_n, n) the scheme's; cap(s) = c tanh(s / c) with
/// c = soft_cap, if asked for; and h' = h / (heads of q / heads of k): grouped and multi-query
/// attention follow from the shapes.
///
/// - out [batch, queries, heads, value_dim]
/// - q   [batch, queries, heads, head_dim]
/// - k   [batch, keys, key heads, scheme.key_dim(head_dim)]; for the CoCA schemes this is t or x
/// - v   [batch, keys, key heads, value_dim]
///
/// Each is an Eigen::Tensor, TensorMap, std::mdspan or coca::View with any strides, or an Eigen
/// matrix [sequence, head_dim] for one batch entry and one head; none is copied. Elements are
/// float, Eigen::bfloat16 or Eigen::half, in any combination, or all double; sums are kept in
/// float, in double for double. Positions are in tokens; see AttentionOptions for where they start.
///
/// The device is an Eigen::DefaultDevice or Eigen::ThreadPoolDevice. The result is the same, bit
/// for bit, on any number of threads. Work memory does not grow with the sequence; it is
/// options.workspace, or else belongs to the calling thread and is kept for its next call.
///
/// A query that sees no key gives zeros. NaN and Inf behave as IEEE arithmetic says and stay with
/// the rows that see them.
///
/// Throws std::invalid_argument, naming argument, value and expectation, before anything is
/// written: for shapes that do not fit together, the scheme or the mask, for memory that is not
/// aligned as its elements, for an output that overlaps an input or itself, and for options out of
/// range.
template <class Out, class Q, class K, class V, class S, class M = Full,
          class D = Eigen::DefaultDevice>
void attention(Out&& out, const Q& q, const K& k, const V& v, const S& scheme, const M& mask = {},
               const AttentionOptions& options = {}, const D& device = {}) {
  if constexpr (detail::checked_types<Out, const Q, const K, const V, S, M, D>()) {
    detail::run_attention<Accumulator<ElementOf<Q>>, detail::Elements<ElementOf<Out>, ElementOf<Q>,
                                                                      ElementOf<K>, ElementOf<V>>>(
        {tensor_view(out), tensor_view(q), tensor_view(k), tensor_view(v)}, scheme, mask, options,
        device);
  }
}

/// Bytes of work memory that suffice for a call with these tensors, scheme and device, and for one
/// with fewer or shorter sequences: from options.workspace, or else from the calling thread's store.
/// For each thread, queries and sums of an item, a block of 128 keys and values, 30 KiB of scores in
/// float, and some rows; in all at most 4 MiB up to a head_dim of 512, and no more for longer
/// sequences. Only the shapes of q, k and v are looked at, whatever is behind them. Throws
/// std::invalid_argument for shapes that do not fit together.
template <TensorLike Q, TensorLike K, TensorLike V, class S, class D = Eigen::DefaultDevice>
std::size_t workspace_bytes(const Q& q, const K& k, const V& v, const S& scheme,
                            const D& device = {}) {
  using T = Accumulator<ElementOf<Q>>;
  const detail::AnyInput keys = tensor_view(k);
  const AttentionShape shape = detail::check_inputs(tensor_view(q), keys, tensor_view(v));
  const Index score_dim = detail::check_scheme<T>(scheme, keys.shape[3], shape);
  return detail::sequences_bytes<T>(detail::whole_sequences(shape, {}), shape, score_dim,
                                    keys.shape[3], device);
}

}  // namespace coca::inline v0
