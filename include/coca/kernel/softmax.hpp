#pragma once

#include <cmath>
#include <limits>

#include "coca/core/scalar.hpp"
#include "coca/kernel/tile_engine.hpp"

/// Softmax over keys that arrive in pieces (Milakov & Gimelshein 2018; FlashAttention, Dao et al.
/// 2022): a row keeps the maximum of its scores, in base 2, as e^x = 2^(x log2 e) saves a
/// multiplication each, and sums of 2^(score - maximum). Its step is TileEngine::softmax.
namespace coca::inline v0::detail {

template <Real T>
inline constexpr T kMinusInfinity = -std::numeric_limits<T>::infinity();

template <Real T>
inline constexpr T kLog2e = T(1.44269504088896340736);
template <Real T>
inline constexpr T kLn2 = T(0.693147180559945309417);

/// Natural logarithm of the sum of exp(score), from the maximum of the scores in base 2 and the sum
/// of 2^(score - maximum); -inf for a sum of 0.
template <Real T>
T log_sum_exp(T maximum, T sum) {
  return sum == T(0) ? kMinusInfinity<T> : maximum * kLn2<T> + std::log(sum);
}

}  // namespace coca::inline v0::detail
