#pragma once

#include <limits>
#include <string>

#include "coca/core/error.hpp"
#include "coca/mask/mask.hpp"

namespace coca::inline v0 {

/// A query at m sees the keys at m - left .. m + right (Longformer, Beltagy et al. 2020; Mistral).
/// A side of SlidingWindow::unlimited has no end; (left, 0) is a causal window of left + 1 tokens.
/// Throws std::invalid_argument for a negative side.
class SlidingWindow : public MaskDefaults {
 public:
  /// Far beyond any sequence, yet safe to add to a position.
  static constexpr Index unlimited = std::numeric_limits<Index>::max() / 4;

  /// How far a query sees behind itself and ahead, in tokens.
  SlidingWindow(Index left, Index right) : left_(left), right_(right) {
    check_side("window.left", left);
    check_side("window.right", right);
  }

  Coverage classify(const MaskTile& tile) const {
    if (tile.last_key() < tile.first_query() - left_ ||
        tile.first_key() > tile.last_query() + right_) {
      return Coverage::empty;
    }
    if (tile.first_key() >= tile.last_query() - left_ &&
        tile.last_key() <= tile.first_query() + right_) {
      return Coverage::full;
    }
    return Coverage::mixed;
  }
  bool visible(const Site& site) const {
    return site.key() >= site.query() - left_ && site.key() <= site.query() + right_;
  }

 private:
  static void check_side(std::string_view name, Index tokens) {
    if (tokens < 0 || tokens > unlimited) {
      detail::reject(name, std::to_string(tokens), "from 0 to SlidingWindow::unlimited");
    }
  }

  Index left_;
  Index right_;
};

}  // namespace coca::inline v0
