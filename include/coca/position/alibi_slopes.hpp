#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <vector>

#include "coca/core/scalar.hpp"

namespace coca::inline v0 {

/// The slopes of ALiBi (Press et al. 2022, arXiv 2108.12409, section 3), per token, one a query head:
/// of n heads, a power of two, 2^(-8 i / n), i = 1 .. n; of other numbers those of the power of two
/// below it, then every other one of twice that, from the first on, as in the paper's code.
inline std::vector<double> alibi_slopes(Index heads) {
  std::vector<double> slopes;
  if (heads <= 0) return slopes;
  const auto add = [&](Index count, Index first, Index step, Index power) {
    for (Index i = 0; i < count; ++i) {
      const auto exponent = static_cast<double>(first + i * step);
      slopes.push_back(std::exp2(-8.0 * exponent / static_cast<double>(power)));
    }
  };
  const auto power = static_cast<Index>(std::bit_floor(static_cast<std::size_t>(heads)));
  add(power, 1, 1, power);
  add(heads - power, 1, 2, 2 * power);
  return slopes;
}

}  // namespace coca::inline v0
