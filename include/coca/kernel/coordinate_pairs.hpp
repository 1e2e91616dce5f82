#pragma once

#include "coca/core/scalar.hpp"
#include "coca/kernel/tile_functions.hpp"

namespace coca::inline v0::detail {

/// Calls use(pairs) for the pairs of coordinates that a rope turns, and for those that it does not, which
/// have angles of 0.
template <class R, class Use>
void for_each_pairs(const R& rope, const Use& use) {
  const auto some = [&](Index begin, Index end) {
    if (begin == end) return;
    const auto [first, second] = rope.pair(begin);
    use(CoordinatePairs{begin, end - begin, first, second, rope.pair_step()});
  };
  some(0, rope.rotary_dim() / 2);
  some(rope.rotary_dim() / 2, rope.dim() / 2);
}

}  // namespace coca::inline v0::detail
