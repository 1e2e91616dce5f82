#pragma once

#include <algorithm>
#include <atomic>

#include "coca/kernel/tile_engine.hpp"
#include "coca/mask/mask.hpp"
#include "support/random.hpp"

/// Masks under observation.
namespace test {

/// Whether what a mask says of a tile is what it says of the tile's pairs, on random tiles: empty
/// and full are never wrong, and (for `exact` masks) mixed is never said of an empty or full tile.
template <class M>
bool classifies_rightly(const M& mask, Index queries, Index keys, Index query_offset,
                        Index key_offset, Random& random, bool exact = true) {
  for (int i = 0; i < 300; ++i) {
    coca::MaskTile tile{.head_end = 1, .query_offset = query_offset, .key_offset = key_offset};
    tile.query_begin = random.integer(0, queries - 1);
    tile.query_end = random.integer(tile.query_begin + 1, std::min(queries, tile.query_begin + 9));
    tile.key_begin = random.integer(0, keys - 1);
    tile.key_end = random.integer(tile.key_begin + 1, std::min(keys, tile.key_begin + 9));
    bool any = false;
    bool all = true;
    for (Index q = tile.query_begin; q < tile.query_end; ++q) {
      for (Index k = tile.key_begin; k < tile.key_end; ++k) {
        const bool seen = mask.visible(coca::Site{0, 0, q, k, query_offset, key_offset});
        any = any || seen;
        all = all && seen;
      }
    }
    const coca::Coverage said = mask.classify(tile);
    if (said == coca::Coverage::empty && any) return false;
    if (said == coca::Coverage::full && !all) return false;
    if (exact && said == coca::Coverage::mixed && (all || !any)) return false;
  }
  return true;
}

/// Counts what the kernel is told about tiles and how often it asks about pairs. The kernel cuts a
/// mixed tile into parts of a few rows and a panel of keys, and asks again.
struct TileCounts {
  std::atomic<Index> computed{0};  ///< pairs in tiles or parts that were not empty
  std::atomic<Index> asked{0};     ///< pairs that `visible` was asked about
};

template <class M>
struct Counted : coca::MaskDefaults {
  M mask;
  TileCounts& counts;
  Counted(M m, TileCounts& c) : mask(std::move(m)), counts(c) {}

  void check(const coca::AttentionShape& shape) const { mask.check(shape); }
  coca::Coverage classify(const coca::MaskTile& tile) const {
    const coca::Coverage coverage = mask.classify(tile);
    const Index keys = tile.key_end - tile.key_begin;
    const bool whole = keys == coca::detail::kTileKeys;
    if (coverage == coca::Coverage::full || (coverage == coca::Coverage::mixed && !whole)) {
      const Index heads = tile.head_end - tile.head_begin;
      counts.computed += (tile.query_end - tile.query_begin) * heads * keys;
    }
    return coverage;
  }
  bool visible(const coca::Site& site) const {
    ++counts.asked;
    return mask.visible(site);
  }
  double slope(Index head) const requires coca::Sloped<M> { return mask.slope(head); }
};

}  // namespace test
