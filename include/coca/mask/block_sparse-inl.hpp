#pragma once

#include <algorithm>
#include <string>

#include "coca/mask/block_sparse.hpp"

namespace coca::inline v0 {

COCA_FUNCTION BlockSparse::BlockSparse(Index size, std::vector<Block> blocks)
    : size_(size), blocks_(std::move(blocks)) {
  if (size < 1) detail::reject("blocks.size", std::to_string(size), "1 or more tokens");
  for (const auto& [query, key] : blocks_) {
    if (query < 0) detail::reject("blocks.query", std::to_string(query), "0 or more");
    if (key < 0) detail::reject("blocks.key", std::to_string(key), "0 or more");
  }
  std::ranges::sort(blocks_);
  blocks_.erase(std::unique(blocks_.begin(), blocks_.end()), blocks_.end());
}

COCA_FUNCTION Coverage BlockSparse::classify(const MaskTile& tile) const {
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

COCA_FUNCTION bool BlockSparse::visible(const Site& site) const {
  return std::ranges::binary_search(blocks_, Block{block_of(site.query()), block_of(site.key())});
}

}  // namespace coca::inline v0
