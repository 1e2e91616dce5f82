#pragma once

#include <algorithm>
#include <cmath>

#include "coca/position/scaling.hpp"

/// Scalings by one number: of positions, or of the base.
namespace coca::inline v0 {

/// Position Interpolation (Chen et al. 2023, arXiv 2306.15595, equation 4): position n stands where
/// n / factor did.
struct Linear {
  double factor = 1.0;  ///< times the trained length, 1 or more

  RotaryFrequencies operator()(const RopeBase& rope) const {
    detail::check_at_least("scaling.factor", factor, 1.0);
    RotaryFrequencies scaled{rope.frequencies()};
    for (double& theta : scaled.inv_freq) theta /= factor;
    return scaled;
  }
};

/// NTK-aware scaling (bloc97 2023; Peng et al. 2024, arXiv 2309.00071, section 3.1): the base becomes
///     base * factor^(d / (d - 2)),
/// d = rotary_dim: the slowest pair is interpolated by the factor, the fastest not at all.
struct NtkAware {
  double factor = 1.0;  ///< times the trained length, 1 or more

  RotaryFrequencies operator()(const RopeBase& rope) const {
    detail::check_at_least("scaling.factor", factor, 1.0);
    return {scaled(rope, factor)};
  }

  /// The frequencies for any factor, the one above or another.
  static std::vector<double> scaled(const RopeBase& rope, double factor) {
    // A single pair has theta = 1 whatever the base.
    if (rope.rotary_dim <= 2) return rope.frequencies();
    const auto dim = static_cast<double>(rope.rotary_dim);
    return rotary_frequencies(rope.rotary_dim, rope.base * std::pow(factor, dim / (dim - 2.0)));
  }
};

/// NTK-aware scaling by the length at hand (emozilla 2023; Peng et al. 2024, section 3.3):
///     base * (factor * L / trained_length - (factor - 1))^(d / (d - 2)),
/// L the larger of rope.length and trained_length. Changes with every token of a longer sequence, so
/// that keys must be cached unrotated, as the library's caches hold them.
struct DynamicNtk {
  double factor = 1.0;       ///< 1 or more
  Index trained_length = 0;  ///< tokens; max_position_embeddings of a configuration

  RotaryFrequencies operator()(const RopeBase& rope) const {
    detail::check_at_least("scaling.factor", factor, 1.0);
    detail::check_trained("scaling.trained_length", trained_length);
    const auto length = static_cast<double>(std::max(rope.length, trained_length));
    const double ratio = length / static_cast<double>(trained_length);
    return {NtkAware::scaled(rope, factor * ratio - (factor - 1.0))};
  }
};

}  // namespace coca::inline v0
