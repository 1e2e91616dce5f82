#pragma once

#include <algorithm>

#include "coca/core/scalar.hpp"
#include "coca/kernel/tile_functions.hpp"

namespace coca::inline v0::detail {

/// Up to kTileKeys keys of a sequence: those at base + begin .. base + end. What the kernel calls the
/// keys of a block are their numbers behind `base`, which may lie before the first key there is.
struct KeyBlock {
  Index base = 0;
  Index begin = 0;
  Index end = 0;
};

/// Keys of a block, from the first to behind the last.
struct KeyRange {
  Index first;
  Index last;
};

/// Calls visit(first, last) for the parts of some keys that are in the same vector.
template <class Visit>
void for_each_vector(const KeyRange& keys, Index vector, const Visit& visit) {
  for (Index key = keys.first; key < keys.last;) {
    const Index end = std::min(round_down(key, vector) + vector, keys.last);
    visit(key, end);
    key = end;
  }
}

}  // namespace coca::inline v0::detail
