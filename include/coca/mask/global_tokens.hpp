#pragma once

#include <utility>
#include <vector>

#include "coca/core/compiled.hpp"
#include "coca/core/error.hpp"
#include "coca/mask/mask.hpp"

namespace coca::inline v0 {

/// Some tokens see, and are seen by, all others (Longformer, Beltagy et al. 2020, arXiv 2004.05150,
/// section 3.1). Longformer's pattern is
///     SlidingWindow{w, w} | GlobalTokens{{0, 17}}.
/// Throws std::invalid_argument for a negative position.
class GlobalTokens : public MaskDefaults {
 public:
  /// In any order.
  explicit GlobalTokens(std::vector<Position> positions);

  Coverage classify(const MaskTile& tile) const {
    const Index queries = count(tile.first_query(), tile.last_query());
    const Index keys = count(tile.first_key(), tile.last_key());
    if (queries == tile.query_end - tile.query_begin || keys == tile.key_end - tile.key_begin) {
      return Coverage::full;
    }
    return queries == 0 && keys == 0 ? Coverage::empty : Coverage::mixed;
  }
  bool visible(const Site& site) const { return global(site.query()) || global(site.key()); }

 private:
  bool global(Position token) const;
  /// How many of the tokens first .. last are global.
  Index count(Position first, Position last) const;

  std::vector<Position> positions_;  ///< in order, each once
};

}  // namespace coca::inline v0

#ifndef COCA_COMPILED
#include "coca/mask/global_tokens-inl.hpp"
#endif
