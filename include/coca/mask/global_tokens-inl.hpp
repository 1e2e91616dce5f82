#pragma once

#include <algorithm>
#include <string>

#include "coca/core/sorted.hpp"
#include "coca/mask/global_tokens.hpp"

namespace coca::inline v0 {

COCA_FUNCTION GlobalTokens::GlobalTokens(std::vector<Position> positions)
    : positions_(std::move(positions)) {
  detail::sort_once(positions_);
  if (!positions_.empty() && positions_.front() < 0) {
    detail::reject("global.positions", std::to_string(positions_.front()), "0 or more");
  }
}

COCA_FUNCTION bool GlobalTokens::global(Position token) const {
  return std::binary_search(positions_.begin(), positions_.end(), token);
}

COCA_FUNCTION Index GlobalTokens::count(Position first, Position last) const {
  return std::upper_bound(positions_.begin(), positions_.end(), last) -
         std::lower_bound(positions_.begin(), positions_.end(), first);
}

}  // namespace coca::inline v0
