#pragma once

#include <algorithm>
#include <string>

#include "coca/mask/global_tokens.hpp"

namespace coca::inline v0 {

COCA_FUNCTION GlobalTokens::GlobalTokens(std::vector<Position> positions)
    : positions_(std::move(positions)) {
  std::ranges::sort(positions_);
  positions_.erase(std::unique(positions_.begin(), positions_.end()), positions_.end());
  if (!positions_.empty() && positions_.front() < 0) {
    detail::reject("global.positions", std::to_string(positions_.front()), "0 or more");
  }
}

COCA_FUNCTION bool GlobalTokens::global(Position token) const {
  return std::ranges::binary_search(positions_, token);
}

COCA_FUNCTION Index GlobalTokens::count(Position first, Position last) const {
  return std::ranges::upper_bound(positions_, last) - std::ranges::lower_bound(positions_, first);
}

}  // namespace coca::inline v0
