#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numbers>

#include "coca/position/yarn.hpp"

namespace coca::inline v0 {

COCA_FUNCTION RotaryFrequencies Yarn::operator()(const RopeBase& rope) const {
  detail::check_at_least("scaling.factor", factor, 1.0);
  detail::check_trained("scaling.trained_length", trained_length);
  detail::check_positive("scaling.beta_fast", beta_fast);
  detail::check_positive("scaling.beta_slow", beta_slow);
  const auto round = [&](double pair, auto whole) { return truncate ? whole(pair) : pair; };
  const double low =
      std::max(round(pair_turning(beta_fast, rope), [](double x) { return std::floor(x); }), 0.0);
  double high =
      std::min(round(pair_turning(beta_slow, rope), [](double x) { return std::ceil(x); }),
               static_cast<double>(rope.rotary_dim - 1));
  if (high == low) high += 0.001;
  RotaryFrequencies scaled{rope.frequencies(), temperature()};
  for (std::size_t j = 0; j < scaled.inv_freq.size(); ++j) {
    const double ramp = std::clamp((static_cast<double>(j) - low) / (high - low), 0.0, 1.0);
    scaled.inv_freq[j] *= ramp / factor + (1.0 - ramp);
  }
  return scaled;
}

COCA_FUNCTION double Yarn::pair_turning(double turns, const RopeBase& rope) const {
  const auto length = static_cast<double>(trained_length);
  return static_cast<double>(rope.rotary_dim) *
         std::log(length / (turns * 2.0 * std::numbers::pi)) / (2.0 * std::log(rope.base));
}

COCA_FUNCTION double Yarn::temperature() const {
  const auto of = [&](double scale) { return 0.1 * scale * std::log(factor) + 1.0; };
  if (attention_factor) return *attention_factor;
  if (mscale && mscale_all_dim && *mscale != 0.0 && *mscale_all_dim != 0.0) {
    return of(*mscale) / of(*mscale_all_dim);
  }
  return of(1.0);
}

}  // namespace coca::inline v0
