#pragma once

#include <algorithm>
#include <string>

#include "coca/core/error.hpp"
#include "coca/mask/mask.hpp"

namespace coca::inline v0 {

/// Every query sees the keys at positions below `prefix`, and the later ones causally (prefix
/// language model, Raffel et al. 2020, figure 3).
/// Throws std::invalid_argument for a negative prefix.
class PrefixLm : public MaskDefaults {
 public:
  /// How many tokens all queries see.
  explicit PrefixLm(Position prefix) : prefix_(prefix) {
    if (prefix < 0) detail::reject("prefix", std::to_string(prefix), "0 or more tokens");
  }

  Coverage classify(const MaskTile& tile) const {
    if (tile.last_key() < prefix_ || tile.last_key() <= tile.first_query()) return Coverage::full;
    if (tile.first_key() >= prefix_ && tile.first_key() > tile.last_query()) return Coverage::empty;
    return Coverage::mixed;
  }
  bool visible(const Site& site) const { return site.key() < std::max(prefix_, site.query() + 1); }

 private:
  Position prefix_;
};

}  // namespace coca::inline v0
