#pragma once

#include <algorithm>
#include <string>

#include "coca/core/sorted.hpp"
#include "coca/mask/block_sparse.hpp"

namespace coca::inline v0 {

COCA_FUNCTION BlockSparse::BlockSparse(Index size, std::vector<Block> blocks)
    : size_(size), blocks_(std::move(blocks)) {
  if (size < 1) detail::reject("blocks.size", std::to_string(size), "1 or more tokens");
  for (const auto& [query, key] : blocks_) {
    if (query < 0) detail::reject("blocks.query", std::to_string(query), "0 or more");
    if (key < 0) detail::reject("blocks.key", std::to_string(key), "0 or more");
  }
  detail::sort_once(blocks_);
}

COCA_FUNCTION Index BlockSparse::count_before(const Block& block) const {
  return std::lower_bound(blocks_.begin(), blocks_.end(), block) - blocks_.begin();
}

COCA_FUNCTION Coverage BlockSparse::classify(const MaskTile& tile) const {
  const Index first_key = block_of(tile.first_key());
  const Index last_key = block_of(tile.last_key());
  bool any = false;
  bool all = true;
  for (Index q = block_of(tile.first_query()); q <= block_of(tile.last_query()); ++q) {
    const Index seen = count_before({q, last_key + 1}) - count_before({q, first_key});
    any |= seen > 0;
    all &= seen == last_key - first_key + 1;
  }
  return all ? Coverage::full : any ? Coverage::mixed : Coverage::empty;
}

COCA_FUNCTION bool BlockSparse::visible(const Site& site) const {
  const Block block{block_of(site.query()), block_of(site.key())};
  const auto place = static_cast<std::size_t>(count_before(block));
  return place < blocks_.size() && blocks_[place] == block;
}

}  // namespace coca::inline v0
