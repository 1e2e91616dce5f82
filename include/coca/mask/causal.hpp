#pragma once

#include "coca/mask/mask.hpp"

namespace coca::inline v0 {

/// A query sees the keys up to its own position plus `offset`: key <= query + offset. Positions are
/// those of the call: by default the last query stands where the last key does (bottom-right
/// alignment), so that with fewer queries than keys the queries continue the keys, and with more,
/// the first ones see nothing.
struct Causal : MaskDefaults {
  Position offset = 0;  ///< how far ahead of itself a query sees, in tokens; may be negative

  /// Up to the query's own position.
  constexpr Causal() = default;
  /// Up to `tokens` ahead of it.
  constexpr explicit Causal(Position tokens) : offset(tokens) {}

  Coverage classify(const MaskTile& tile) const {
    if (tile.first_key() > tile.last_query() + offset) return Coverage::empty;
    if (tile.last_key() <= tile.first_query() + offset) return Coverage::full;
    return Coverage::mixed;
  }
  bool visible(const Site& site) const { return site.key() <= site.query() + offset; }
};

}  // namespace coca::inline v0
