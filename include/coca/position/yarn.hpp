#pragma once

#include <optional>

#include "coca/core/compiled.hpp"
#include "coca/position/scaling.hpp"

namespace coca::inline v0 {

/// YaRN (Peng et al. 2024, arXiv 2309.00071, section 3): pairs that turn often within the trained
/// length keep their frequency, those that turn less than once are interpolated, and there is a ramp
/// between them. Pair j turns r times at
///     j(r) = rotary_dim ln(trained_length / (2 pi r)) / (2 ln base),
/// and with low = floor j(beta_fast), high = ceil j(beta_slow), kept within 0 .. rotary_dim - 1,
///     ramp_j = (j - low) / (high - low) clamped to 0 .. 1,
///     theta'_j = ramp_j theta_j / factor + (1 - ramp_j) theta_j.
/// Cosines and sines are multiplied by 0.1 ln(factor) + 1 (equation 22 as the Hugging Face library
/// has it), so that scores are by its square.
struct Yarn {
  double factor = 1.0;       ///< times the trained length, 1 or more
  Index trained_length = 0;  ///< tokens; original_max_position_embeddings of a configuration
  double beta_fast = 32.0;   ///< turns from which on a pair keeps its frequency
  double beta_slow = 1.0;    ///< turns up to which a pair is interpolated
  std::optional<double> attention_factor = std::nullopt;  ///< instead of 0.1 ln(factor) + 1
  /// Of DeepSeek's configurations: (0.1 mscale ln(factor) + 1) / (0.1 mscale_all_dim ln(factor) + 1)
  /// where both are there.
  std::optional<double> mscale = std::nullopt;
  std::optional<double> mscale_all_dim = std::nullopt;  ///< see mscale
  bool truncate = true;  ///< whether low and high become whole numbers

  RotaryFrequencies operator()(const RopeBase& rope) const;

 private:
  double pair_turning(double turns, const RopeBase& rope) const;
  double temperature() const;
};

}  // namespace coca::inline v0

#ifndef COCA_COMPILED
#include "coca/position/yarn-inl.hpp"
#endif
