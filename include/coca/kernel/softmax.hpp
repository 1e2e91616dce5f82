#pragma once

#include <cmath>
#include <limits>

#include "coca/core/scalar.hpp"
#include "coca/kernel/tile_engine.hpp"

/// Softmax over keys that arrive in pieces (Milakov & Gimelshein 2018; FlashAttention, Dao et al.
/// 2022): how a row's state begins and what it comes to. Its step is TileEngine::softmax.
namespace coca::inline v0::detail {

template <Real T>
inline constexpr T kMinusInfinity = -std::numeric_limits<T>::infinity();

template <Real T>
inline constexpr T kLog2e = T(1.44269504088896340736);
template <Real T>
inline constexpr T kLn2 = T(0.693147180559945309417);

/// The state after a sink: a logit, in natural units, in the denominator without a value vector.
template <Real T>
SoftmaxState<T> state_with_sink(T logit) {
  return logit == kMinusInfinity<T> ? SoftmaxState<T>{} : SoftmaxState<T>{logit * kLog2e<T>, T(1)};
}

/// Natural logarithm of the sum of exp(score) over the scores seen; -inf if there was none.
template <Real T>
T log_sum_exp(const SoftmaxState<T>& state) {
  return state.sum == T(0) ? kMinusInfinity<T> : state.maximum * kLn2<T> + std::log(state.sum);
}

}  // namespace coca::inline v0::detail
