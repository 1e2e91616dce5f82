#pragma once

#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include "coca/position/scaling.hpp"

namespace coca::inline v0 {

/// LongRoPE (Ding et al. 2024, arXiv 2402.13753): a factor for each pair, found by search,
///     theta'_j = theta_j / factor_j,
/// of two lists: short_factor up to the trained length, long_factor for sequences beyond it. Cosines
/// and sines are multiplied by sqrt(1 + ln(factor) / ln(trained_length)). Where the lists differ, a
/// sequence changes all its positions when it outgrows the trained length, and keys must be cached
/// unrotated, as the library's caches hold them.
struct LongRope {
  std::vector<double> short_factor = {};  ///< one a pair, positive
  std::vector<double> long_factor = {};   ///< one a pair, positive
  Index trained_length = 0;  ///< tokens; original_max_position_embeddings of a configuration
  double factor = 1.0;  ///< how many times the trained length the model is for: for the temperature
  std::optional<double> attention_factor = std::nullopt;  ///< instead of what follows from factor

  RotaryFrequencies operator()(const RopeBase& rope) const {
    detail::check_trained("scaling.trained_length", trained_length);
    detail::check_positive("scaling.factor", factor);
    check("scaling.short_factor", short_factor, rope);
    check("scaling.long_factor", long_factor, rope);
    RotaryFrequencies scaled{rope.frequencies(), temperature()};
    const std::vector<double>& factors = rope.length > trained_length ? long_factor : short_factor;
    for (std::size_t j = 0; j < factors.size(); ++j) scaled.inv_freq[j] /= factors[j];
    return scaled;
  }

 private:
  static void check(const std::string& name, const std::vector<double>& factors,
                    const RopeBase& rope) {
    detail::require_equal(name + ".size", static_cast<Index>(factors.size()), rope.rotary_dim / 2,
                          "rotary_dim / 2");
    for (const double value : factors) detail::check_positive(name, value);
  }
  double temperature() const {
    if (attention_factor) return *attention_factor;
    if (factor <= 1.0) return 1.0;
    return std::sqrt(1.0 + std::log(factor) / std::log(static_cast<double>(trained_length)));
  }
};

}  // namespace coca::inline v0
