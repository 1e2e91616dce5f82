#pragma once

#include <cmath>
#include <vector>

#include "coca/core/scalar.hpp"

/// How fast each pair turns.
namespace coca::inline v0 {

/// theta_j = base^(-2j/rotary_dim) radians per token, for j < rotary_dim/2 (Su et al. 2021, section
/// 3.2.2). This is what model code calls inv_freq.
inline std::vector<double> rotary_frequencies(Index rotary_dim, double base) {
  std::vector<double> frequencies(static_cast<std::size_t>(rotary_dim / 2));
  for (std::size_t j = 0; j < frequencies.size(); ++j) {
    frequencies[j] =
        std::pow(base, -2.0 * static_cast<double>(j) / static_cast<double>(rotary_dim));
  }
  return frequencies;
}

}  // namespace coca::inline v0
