#pragma once

#include <algorithm>
#include <cmath>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "coca/position/panel_angles.hpp"
#include "coca/position/rope.hpp"

namespace coca::inline v0 {

COCA_FUNCTION Rope::Rope(RopeOptions options)
    : pairs_(options.dim, options.rotary_dim == 0 ? options.dim : options.rotary_dim,
             options.layout) {
  check(options);
  RotaryFrequencies frequencies = scaled(options);
  check(frequencies);
  attention_factor_ = frequencies.attention_factor;
  panel_angles_ = std::make_shared<const detail::PanelAngles>();
  table_ = std::make_shared<const AngleTable>(std::move(frequencies.inv_freq));
  options_ = std::make_shared<const RopeOptions>(std::move(options));
}

COCA_FUNCTION Rope Rope::at_length(Index length) const {
  if (!options_->scaling || length == options_->length) return *this;
  RopeOptions options = *options_;
  options.length = length;
  check(options);
  const RotaryFrequencies other = scaled(options);
  const std::span<const double> own = inv_freq();
  const bool same =
      other.attention_factor == attention_factor_ &&
      std::equal(own.begin(), own.end(), other.inv_freq.begin(), other.inv_freq.end());
  return same ? *this : Rope(std::move(options));
}

COCA_FUNCTION Rope Rope::still() const {
  RopeOptions options{.dim = dim(), .rotary_dim = rotary_dim(), .layout = layout()};
  options.scaling = [factor = attention_factor_](const RopeBase& base) {
    return RotaryFrequencies{std::vector<double>(static_cast<std::size_t>(base.rotary_dim / 2)),
                             factor};
  };
  return Rope(std::move(options));
}

COCA_FUNCTION void Rope::check(const RopeOptions& options) const {
  using detail::reject;
  if (dim() <= 0 || dim() % 2 != 0) {
    reject("rope.dim", std::to_string(dim()), "a positive even number");
  }
  if (rotary_dim() < 0 || rotary_dim() > dim() || rotary_dim() % 2 != 0) {
    reject("rope.rotary_dim", std::to_string(rotary_dim()),
           "an even number from 0 to dim = " + std::to_string(dim()));
  }
  if (!(options.base > 0.0) || !std::isfinite(options.base)) {
    reject("rope.base", std::to_string(options.base), "positive and finite");
  }
  if (options.length < 0) {
    reject("rope.length", std::to_string(options.length), "0 or more tokens");
  }
  if (options.scaling && !options.inv_freq.empty()) {
    reject("rope.inv_freq", "given beside a scaling", "one of the two");
  }
}

COCA_FUNCTION void Rope::check(const RotaryFrequencies& frequencies) const {
  const std::vector<double>& inv_freq = frequencies.inv_freq;
  detail::require_equal("rope.inv_freq.size", static_cast<Index>(inv_freq.size()), rotary_dim() / 2,
                        "rotary_dim / 2");
  for (std::size_t j = 0; j < inv_freq.size(); ++j) {
    if (!std::isfinite(inv_freq[j])) {
      detail::reject("rope.inv_freq[" + std::to_string(j) + "]", std::to_string(inv_freq[j]),
                     "finite");
    }
  }
  detail::check_positive("rope.attention_factor", frequencies.attention_factor);
}

COCA_FUNCTION RotaryFrequencies Rope::scaled(const RopeOptions& options) const {
  const RopeBase base{rotary_dim(), options.base, options.length};
  if (options.scaling) return options.scaling(base);
  return {options.inv_freq.empty() ? base.frequencies() : options.inv_freq};
}

template <Real T>
detail::PanelTurns<T> Rope::panel_turns() const {
  return panel_angles_->template turns<T>(
      dim() / 2, [&](Position n, T* cosines, T* sines) { cos_sin(n, 1.0, cosines, sines); });
}

}  // namespace coca::inline v0
