#pragma once

#include <cmath>
#include <limits>

#include "coca/core/elementary.hpp"
#include "coca/core/scalar.hpp"

/// Softmax over keys that arrive in pieces (Milakov & Gimelshein 2018; FlashAttention, Dao et al.
/// 2022): a running maximum and a running sum of exp(score - maximum), both in natural units.
namespace coca::inline v0::detail {

template <Real T>
inline constexpr T kMinusInfinity = -std::numeric_limits<T>::infinity();

/// Rows of scores are padded to whole groups of this many, and reduced in this many partial
/// results: reductions the compiler may vectorise without being allowed to reorder sums.
inline constexpr Index kLanes = 16;

constexpr Index padded(Index count) { return (count + kLanes - 1) / kLanes * kLanes; }

/// One row's softmax so far.
template <Real T>
struct SoftmaxState {
  T maximum = kMinusInfinity<T>;
  T sum = T(0);

  /// The state after a sink: a logit in the denominator that has no value vector.
  static SoftmaxState with_sink(T logit) {
    return logit == kMinusInfinity<T> ? SoftmaxState{} : SoftmaxState{logit, T(1)};
  }

  /// log of the sum of exp(score) over the scores seen; -inf if there was none.
  T log_sum_exp() const { return sum == T(0) ? kMinusInfinity<T> : maximum + std::log(sum); }
};

/// The largest of `count` scores, count a multiple of kLanes. NaN is passed over here; it comes
/// back through the exponential.
template <Real T>
T largest(const T* scores, Index count) {
  T lanes[kLanes];
  for (Index i = 0; i < kLanes; ++i) lanes[i] = kMinusInfinity<T>;
  for (Index j = 0; j < count; j += kLanes) {
    for (Index i = 0; i < kLanes; ++i) {
      lanes[i] = scores[j + i] > lanes[i] ? scores[j + i] : lanes[i];
    }
  }
  T result = lanes[0];
  for (const T lane : lanes) result = lane > result ? lane : result;
  return result;
}

/// Replaces `count` scores, a multiple of kLanes, by exp(score - maximum) and returns their sum.
template <Real T>
T exponentiate(T* scores, Index count, T maximum) {
  T lanes[kLanes] = {};
  for (Index j = 0; j < count; j += kLanes) {
    for (Index i = 0; i < kLanes; ++i) {
      const T weight = exp_nonpositive(scores[j + i] - maximum);
      scores[j + i] = weight;
      lanes[i] += weight;
    }
  }
  // A fixed tree: one result, whatever the compiler makes of it.
  for (Index width = kLanes / 2; width > 0; width /= 2) {
    for (Index i = 0; i < width; ++i) lanes[i] += lanes[i + width];
  }
  return lanes[0];
}

/// Turns one row's new scores into weights and brings state and sums onto the new maximum.
/// scores: `count` of them, padded with -inf to a multiple of kLanes. sums: value_dim numbers.
template <Real T>
void absorb_scores(T* scores, Index count, SoftmaxState<T>& state, T* sums, Index value_dim) {
  const Index width = padded(count);
  const T top = largest(scores, width);
  if (top > state.maximum) {
    // exp(-inf) where this is the first visible key: there is nothing to keep yet.
    const T keep = exp_nonpositive(state.maximum - top);
    for (Index i = 0; i < value_dim; ++i) sums[i] *= keep;
    state.sum *= keep;
    state.maximum = top;
  }
  // A row that has seen no key yet has no maximum to subtract: -inf - (-inf) would be NaN. With 0
  // in its place the hidden keys get weight 0, and a NaN score stays one.
  const T reference = state.maximum == kMinusInfinity<T> ? T(0) : state.maximum;
  state.sum += exponentiate(scores, width, reference);
}

}  // namespace coca::inline v0::detail
