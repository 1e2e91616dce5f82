#pragma once

#include <cmath>

#include "support/bounds.hpp"

/// How far the backward kernel may be from the reference: derived as those of support/bounds.hpp.
namespace test {

/// How large the derivatives of a score by one coordinate can be, all terms taken as positive: of linear
/// maps, both members of a pair of the other operand; of CoCA's, of phi by a query 2|a| + 2|b|, with sqrt(2) t
/// of either member of psi, and of psi by t sqrt(2) either member of phi.
struct Slopes {
  double by_query, by_key;
};
inline Slopes slopes(bool coca, double q, double k) {
  if (coca) return {8.0 * std::sqrt(2.0) * q * k, 4.0 * std::sqrt(2.0) * q * q};
  return {2.0 * k, 2.0 * q};
}

struct GradientBounds {
  double dq, dk, dv, dbias, dsinks;
};

/// `magnitude` and `added`: bounds of scores, as for attention_bounds; `bend`: of the second derivative of
/// what changes scores, 1/c of a soft-cap c; `change`: the longest row of dout times that of v, which bounds
/// dout . v; `by`: slopes, times scale; `key_weight`: the largest sum of all weights of one key; `result`:
/// how far out and lse are off.
template <class T>
GradientBounds gradient_bounds(double magnitude, double added, double bend, double change,
                               double dout_row, const Slopes& by, double key_weight,
                               Index score_dim, Index value_dim, Index rows, Index keys,
                               const Bounds& result) {
  const double u = kUnit<T>;
  const double score =
      sum_error(static_cast<double>(score_dim) + 20.0, u) * magnitude + 8.0 * u * added;
  // A weight 2^(s - lse), relative: both rounded, and as numbers in base 2. It grows by exp where that is
  // not small.
  const double lse = magnitude + added + std::log(static_cast<double>(keys) + 1.0);
  const double weight =
      std::expm1(score + result.lse + 4.0 * u * (magnitude + added + lse)) + 4.0 * u;
  // dout . v and dout . out, each of at most `change`.
  const double width = static_cast<double>(value_dim);
  const double product =
      2.0 * sum_error(width, u) * change + dout_row * std::sqrt(width) * result.out;
  // The gradient of a score, over its weight: at most 2 change; derivatives of scores err by those of
  // scores times the bend.
  const double gradient = 2.0 * change * (weight + score * bend + 14.0 * u) + product;
  const double over_keys = sum_error(static_cast<double>(keys), u);
  const double over_rows = sum_error(static_cast<double>(rows), u);
  const double maps = 20.0 * u;
  return {by.by_query * (gradient + 2.0 * change * (over_keys + maps)),
          by.by_key * key_weight * (gradient + 2.0 * change * (over_rows + maps)),
          dout_row * key_weight * (weight + over_rows), gradient + 2.0 * change * u,
          static_cast<double>(rows) * (change * (weight + 4.0 * u) + product)};
}

}  // namespace test
