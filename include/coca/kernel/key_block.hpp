#pragma once

#include "coca/core/scalar.hpp"

namespace coca::inline v0::detail {

/// Up to kTileKeys keys of a sequence: those at base + begin .. base + end. What the kernel calls the
/// keys of a block are their numbers behind `base`, which may lie before the first key there is.
struct KeyBlock {
  Index base = 0;
  Index begin = 0;
  Index end = 0;
};

}  // namespace coca::inline v0::detail
