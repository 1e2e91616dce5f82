#pragma once

#include <cmath>
#include <coca/core/scalar.hpp>
#include <limits>

namespace command_line {

/// How far two results of attention in float over so many tokens may be apart, of q, k or t, and values
/// within [-1, 1]: the error of each is that of its weights and that of its sum over tokens. A sum of n
/// rounded terms is off by 8 sqrt(n) u of the sum of their sizes or less, all but surely (Higham & Mary
/// 2019).
inline double attention_rounding(coca::Index head_dim, coca::Index tokens) {
  const double u = std::numeric_limits<float>::epsilon() / 2.0;
  const auto sum = [u](double terms) { return 8.0 * std::sqrt(terms) * u; };
  // |score| <= sum_j t_j |q_j|^2 / sqrt(dim) <= dim / sqrt(dim), and |q| |k| / sqrt(dim) is no more. Its
  // terms are rounded in about 20 operations of maps and scale, and the kernel's phi and psi are each at
  // most sqrt(2) times as long as their products.
  const double dim = static_cast<double>(head_dim);
  const double largest_score = std::sqrt(dim);
  const double score = sum(dim + 20.0) * 2.0 * largest_score;
  // A weight exp(score - max): the errors of both, of their difference and of exp.
  const double weight = 2.0 * score + 4.0 * u * largest_score + 4.0 * u;
  const double one = 2.0 * (weight + sum(static_cast<double>(tokens)));
  return 2.0 * one;
}

}  // namespace command_line
