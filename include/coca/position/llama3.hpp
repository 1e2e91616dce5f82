#pragma once

#include <numbers>
#include <string>

#include "coca/position/scaling.hpp"

namespace coca::inline v0 {

/// The scaling of Llama 3.1 (Grattafiori et al. 2024, arXiv 2407.21783; the model's code has the
/// formula): with a pair's turns within the trained length, u = trained_length theta_j / (2 pi), pairs
/// of more than high_freq_factor turns keep their frequency, those of less than low_freq_factor are
/// interpolated, and between them
///     s = (u - low_freq_factor) / (high_freq_factor - low_freq_factor),
///     theta'_j = (1 - s) theta_j / factor + s theta_j.
struct Llama3 {
  double factor = 8.0;            ///< 1 or more
  double low_freq_factor = 1.0;   ///< turns up to which a pair is interpolated
  double high_freq_factor = 4.0;  ///< turns from which on a pair keeps its frequency
  Index trained_length = 8192;    ///< tokens; original_max_position_embeddings of a configuration

  RotaryFrequencies operator()(const RopeBase& rope) const {
    detail::check_at_least("scaling.factor", factor, 1.0);
    detail::check_trained("scaling.trained_length", trained_length);
    detail::check_positive("scaling.low_freq_factor", low_freq_factor);
    if (!(high_freq_factor > low_freq_factor)) {
      detail::reject("scaling.high_freq_factor", std::to_string(high_freq_factor),
                     "more than low_freq_factor = " + std::to_string(low_freq_factor));
    }
    RotaryFrequencies scaled{rope.frequencies()};
    for (double& theta : scaled.inv_freq) {
      const double turns = static_cast<double>(trained_length) * theta / (2.0 * std::numbers::pi);
      const double keep = (turns - low_freq_factor) / (high_freq_factor - low_freq_factor);
      if (turns < low_freq_factor) {
        theta /= factor;
      } else if (turns <= high_freq_factor) {
        theta *= (1.0 - keep) / factor + keep;
      }
    }
    return scaled;
  }
};

}  // namespace coca::inline v0
