#pragma once

#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "coca/core/compiled.hpp"
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
  BlockSparse(Index size, std::vector<Block> blocks);

  Coverage classify(const MaskTile& tile) const;
  bool visible(const Site& site) const;

 private:
  /// The block of a position, which may be negative.
  Index block_of(Position position) const {
    return position >= 0 ? position / size_ : -((size_ - 1 - position) / size_);
  }

  /// How many of the list come before a block.
  Index count_before(const Block& block) const;

  Index size_;
  std::vector<Block> blocks_;  ///< in order, each once
};

}  // namespace coca::inline v0

#ifndef COCA_COMPILED
#include "coca/mask/block_sparse-inl.hpp"
#endif
