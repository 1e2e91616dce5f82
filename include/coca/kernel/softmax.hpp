#pragma once

#include <cmath>
#include <limits>

#include "coca/core/scalar.hpp"
#include "coca/kernel/tile_engine.hpp"

/// Softmax over keys that arrive in pieces (Milakov & Gimelshein 2018; FlashAttention, Dao et al.
/// 2022): a running maximum and a running sum of exp(score - maximum). Scores come in base 2, that
/// is, times log2(e): e^x = 2^(x log2 e) saves a multiplication each.
namespace coca::inline v0::detail {

template <Real T>
inline constexpr T kMinusInfinity = -std::numeric_limits<T>::infinity();

template <Real T>
inline constexpr T kLog2e = T(1.44269504088896340736);
template <Real T>
inline constexpr T kLn2 = T(0.693147180559945309417);

/// One row's softmax so far.
template <Real T>
struct SoftmaxState {
  T maximum = kMinusInfinity<T>;  ///< in base 2
  T sum = T(0);

  /// The state after a sink: a logit, in natural units, in the denominator without a value vector.
  static SoftmaxState with_sink(T logit) {
    return logit == kMinusInfinity<T> ? SoftmaxState{} : SoftmaxState{logit * kLog2e<T>, T(1)};
  }

  /// Natural logarithm of the sum of exp(score) over the scores seen; -inf if there was none.
  T log_sum_exp() const {
    return sum == T(0) ? kMinusInfinity<T> : maximum * kLn2<T> + std::log(sum);
  }
};

/// Turns one row's new scores, whole vectors of them, into weights and brings state and sums onto
/// the new maximum.
template <Real T>
void absorb_scores(const TileEngine<T>& engine, T* scores, Index count, SoftmaxState<T>& state,
                   T* sums, Index columns) {
  const T top = engine.largest(scores, count);
  if (top > state.maximum) {
    // 2^-inf = 0 where this is the first visible key: there is nothing to keep yet.
    const T keep = std::exp2(state.maximum - top);
    if (state.sum != T(0)) engine.rescale(sums, columns, keep);
    state.sum *= keep;
    state.maximum = top;
  }
  // A row that has seen no key yet has no maximum to subtract: -inf - (-inf) would be NaN. With 0
  // in its place the hidden keys get weight 0, and a NaN score stays one.
  const T reference = state.maximum == kMinusInfinity<T> ? T(0) : state.maximum;
  state.sum += engine.exponentiate(scores, count, reference);
}

}  // namespace coca::inline v0::detail
