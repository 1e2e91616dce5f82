#pragma once

#include <cmath>
#include <string>

#include "coca/position/scaling.hpp"

namespace coca::inline v0::detail {

COCA_FUNCTION void check_at_least(std::string_view name, double value, double least) {
  if (std::isfinite(value) && value >= least) return;
  reject(name, std::to_string(value), std::to_string(least) + " or more, and finite");
}
COCA_FUNCTION void check_positive(std::string_view name, double value) {
  if (std::isfinite(value) && value > 0.0) return;
  reject(name, std::to_string(value), "positive and finite");
}
COCA_FUNCTION void check_trained(std::string_view name, Index length) {
  if (length > 0) return;
  reject(name, std::to_string(length), "the tokens the model was trained for");
}

}  // namespace coca::inline v0::detail
