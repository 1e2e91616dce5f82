#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "coca/core/target.hpp"
#include "coca/kernel/tile_engine.hpp"
#include "support/random.hpp"

/// How far a kernel may be from the reference. Derived from the number types and the operands;
/// there is nothing to tune.
namespace test {

/// Rounding of one operation in the computing type.
template <class T>
inline constexpr double kUnit = std::numeric_limits<coca::Accumulator<T>>::epsilon() / 2;

/// Rounding of a result stored as T.
template <class T>
inline double storage_unit() {
  if constexpr (std::is_same_v<T, Eigen::bfloat16>) return 0x1p-8;
  if constexpr (std::is_same_v<T, Eigen::half>) return 0x1p-11;
  return kUnit<T>;
}

/// Rounding of the operands of the products beyond that of sums: of scores, relative to the sum of the
/// magnitudes of their terms, and of weights, relative to the largest.
struct OperandUnits {
  double scores = 0.0;
  double weights = 0.0;
};

/// Where the processor multiplies bfloat16, phi, psi and weights are such if all tensors are.
template <class T>
inline OperandUnits operand_units() {
  const auto* products = coca::detail::bfloat16_functions<coca::Accumulator<T>>(coca::target());
  if (!std::is_same_v<T, Eigen::bfloat16> || products == nullptr) return {};
  return {2.0 * 0x1p-9 + 0x1p-18, 0x1p-9};
}

/// Where the products with an int8 cache are in integers (kernel/tile_engine/int8.inc). With n
/// coordinates: a query's unit is at most sqrt(2) / 32766 of its length, or 11497 / 2.08e9 of the sum of
/// its magnitudes, which is at most sqrt(n) times the length; each of n errors is half of it, beside a
/// key whose magnitudes add up to sqrt(n) times its length. A turned key is off by 1/64 for its two
/// products, and by the rounding of its angles to 2^-14, of 127. Of a block, 128 weights are off by half
/// of the largest / 32766.
inline OperandUnits int8_units(Index score_dim) {
  if (coca::detail::cache_functions<float>(coca::target()).int8 == nullptr) return {};
  const auto n = static_cast<double>(score_dim);
  const double query = 0.5 * (std::sqrt(2.0 * n) / 32766.0 + n * 11497.0 / 2.08e9);
  const double key = std::sqrt(n) * (1.0 / 64.0 / 127.0 + 2.0 * 0x1p-14);
  return {query + key + query * key, 0.5 * 128.0 / 32766.0};
}

/// Error of a sum of n rounded terms, relative to the sum of their magnitudes: sqrt(n) u times a
/// confidence factor of 8 (Higham & Mary 2019, theorem 2.4: exceeded with probability 2 exp(-32)).
inline double sum_error(double n, double unit) { return 8.0 * std::sqrt(n) * unit; }

/// Largest absolute value.
template <class T>
double largest(const Tensor<T>& x) {
  double result = 0.0;
  const auto values = x.view();
  Tensor<T>::for_each(values.shape, [&](Index b, Index n, Index h, Index i) {
    result = std::max(result, std::fabs(static_cast<double>(values(b, n, h, i))));
  });
  return result;
}

/// Largest Euclidean length of a token's row of one head.
template <class T>
double longest_row(const Tensor<T>& x) {
  const auto values = x.view();
  double result = 0.0;
  for (Index b = 0; b < values.shape[0]; ++b)
    for (Index n = 0; n < values.shape[1]; ++n)
      for (Index h = 0; h < values.shape[2]; ++h) {
        double squares = 0.0;
        for (Index i = 0; i < values.shape[3]; ++i) {
          squares += std::pow(static_cast<double>(values(b, n, h, i)), 2);
        }
        result = std::max(result, std::sqrt(squares));
      }
  return result;
}

/// A bound on sum_i |phi_i| |psi_i| over all pairs of tokens, cancellation inside a map included.
/// For phi and psi linear in q and k it is |q||k|. For CoCA a pair has |phi| <= sqrt(2) |q_j|^2 and
/// |psi| = sqrt(2) t_j, so that it is 2 max(t) |q|^2.
inline double linear_magnitude(double q_row, double k_row) { return q_row * k_row; }
inline double coca_magnitude(double q_row, double t_max) { return 2.0 * t_max * q_row * q_row; }

struct Bounds {
  double out;  ///< absolute, for every element of the output
  double lse;  ///< absolute
};

/// `magnitude` bounds the scores' terms (above) after scaling; `added` bounds bias and soft-cap.
template <class T, class TOut>
Bounds attention_bounds(double magnitude, double added, double value_max, Index score_dim,
                        Index keys, const OperandUnits& operands = operand_units<T>()) {
  const double u = kUnit<T>;
  // A score: its products, the two maps (about 8 operations each, angles rounded once), scale.
  const double score =
      (sum_error(static_cast<double>(score_dim) + 20.0, u) + operands.scores) * magnitude +
      8.0 * u * added;
  // A weight exp(s - max), relative: errors of both scores, of their difference and of exp (2 ulp),
  // which grow by exp where they are not small. No weight is off by more than 1, whatever its score.
  const double range = 2.0 * (magnitude + added);
  const double weight =
      std::min(std::expm1(2.0 * score + 2.0 * u * range + 4.0 * u), 1.0) + operands.weights;
  // A sum over keys: a tree inside each tile, one addition and one rescaling for every tile.
  const double sum = sum_error(64.0 + 4.0 * static_cast<double>(keys) / 64.0, u);
  // log(sum of exp) moves by no more than the scores do. What it is a sum of is off by the rounding of
  // differences and exp, and it is rounded, as the maximum is.
  return {2.0 * value_max * (weight + sum) + storage_unit<TOut>() * value_max,
          2.0 * score + 4.0 * u * range + operands.weights + sum + 12.0 * u};
}

/// The larger of `most` and |actual - expected|; infinite where one of them is NaN or infinite and
/// the other is not the same.
inline double worse(double most, double actual, double expected) {
  if (actual == expected) return most;
  const double difference = std::fabs(actual - expected);
  return std::isnan(difference) ? std::numeric_limits<double>::infinity()
                                : std::max(most, difference);
}

/// The largest |a - b|, by `worse`; two NaN agree.
template <class T>
double largest_difference(const Tensor<T>& a, const Tensor<double>& b) {
  double result = 0.0;
  const auto x = a.view();
  const auto y = b.view();
  Tensor<T>::for_each(x.shape, [&](Index i, Index j, Index k, Index l) {
    const auto left = static_cast<double>(x(i, j, k, l));
    if (std::isnan(left) && std::isnan(y(i, j, k, l))) return;
    result = worse(result, left, y(i, j, k, l));
  });
  return result;
}

}  // namespace test
