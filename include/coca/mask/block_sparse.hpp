#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "coca/core/error.hpp"
#include "coca/mask/mask.hpp"

namespace coca::inline v0 {

/// A query sees the keys of some blocks: those of which (query block, key block) is in a list, where
/// block i holds the positions i * size .. (i + 1) * size - 1 (as in Child et al. 2019, arXiv
/// 1904.10509, and Zaheer et al. 2020, arXiv 2007.14062). The same for all heads. Blocks as large as
/// the kernel's tiles, 128 keys, or larger cost no more than they hold.
/// Throws std::invalid_argument for a size below 1 and a negative block.
class BlockSparse : public MaskDefaults {
 public:
  using Block = std::pair<Index, Index>;  ///< of queries, of keys

  /// Blocks of `size` tokens, and the pairs of blocks that meet, in any order.
  BlockSparse(Index size, std::vector<Block> blocks) : size_(size), blocks_(std::move(blocks)) {
    if (size < 1) detail::reject("blocks.size", std::to_string(size), "1 or more tokens");
    for (const auto& [query, key] : blocks_) {
      if (query < 0) detail::reject("blocks.query", std::to_string(query), "0 or more");
      if (key < 0) detail::reject("blocks.key", std::to_string(key), "0 or more");
    }
    std::ranges::sort(blocks_);
    blocks_.erase(std::unique(blocks_.begin(), blocks_.end()), blocks_.end());
  }

  Coverage classify(const MaskTile& tile) const {
    const Index first_key = block_of(tile.first_key());
    const Index last_key = block_of(tile.last_key());
    bool any = false;
    bool all = true;
    for (Index q = block_of(tile.first_query()); q <= block_of(tile.last_query()); ++q) {
      const Index seen = std::ranges::upper_bound(blocks_, Block{q, last_key}) -
                         std::ranges::lower_bound(blocks_, Block{q, first_key});
      any |= seen > 0;
      all &= seen == last_key - first_key + 1;
    }
    return all ? Coverage::full : any ? Coverage::mixed : Coverage::empty;
  }
  bool visible(const Site& site) const {
    return std::ranges::binary_search(blocks_, Block{block_of(site.query()), block_of(site.key())});
  }

 private:
  /// The block of a position, which may be negative.
  Index block_of(Position position) const {
    return position >= 0 ? position / size_ : -((size_ - 1 - position) / size_);
  }

  Index size_;
  std::vector<Block> blocks_;  ///< in order, each once
};

}  // namespace coca::inline v0
