#pragma once

#include <algorithm>
#include <type_traits>

#include "coca/core/scalar.hpp"
#include "coca/kernel/item_rows.hpp"
#include "coca/kernel/key_block.hpp"
#include "coca/kernel/softmax.hpp"
#include "coca/mask/mask.hpp"

/// A mask as the kernels see it: functions that take a tile at a time.
namespace coca::inline v0::detail {

/// Scores of some rows and keys in natural units, or in base 2 where the mask adds no bias; rows are `stride` apart.
template <Real T>
struct MaskedTile {
  const ItemRows& rows;
  T* scores;
  Index stride;
  Index row;    ///< the first of the rows
  Index count;  ///< of rows
  Index base;   ///< what the numbers of keys count from
};

/// What the kernels ask of a mask.
template <Real T>
struct MaskFunctions {
  bool biased;
  bool sloped;
  Coverage (*classify)(const void* mask, const MaskTile& tile);
  /// Classifies the tile vector by vector of keys, and says from which key to which there is something to see. Both
  /// counted as `found` is, which holds what was found at the first key of each vector.
  KeyRange (*find_visible)(const void* mask, const MaskTile& tile, Index base, Index vector,
                           Coverage* found);
  /// Adds biases, which brings scores to base 2, and hides what a mixed tile hides.
  void (*apply)(const void* mask, const MaskedTile<T>& tile, const KeyRange& keys,
                Coverage coverage);
  double (*slope)(const void* mask, Index head);
};

/// The hooks of mask M.
template <class M, Real T>
struct MaskHooks {
  static const M& mask_of(const void* mask) { return *static_cast<const M*>(mask); }

  static Coverage classify(const void* any, const MaskTile& tile) {
    return mask_of(any).classify(tile);
  }
  static KeyRange find_visible(const void* any, const MaskTile& all, Index base, Index vector,
                               Coverage* found) {
    const M& mask = mask_of(any);
    KeyRange range{all.key_end - base, all.key_begin - base};
    MaskTile tile = all;
    for_each_vector({all.key_begin - base, all.key_end - base}, vector, [&](Index key, Index end) {
      tile.key_begin = base + key;
      tile.key_end = base + end;
      const Coverage coverage = mask.classify(tile);
      found[key] = coverage;
      if (coverage == Coverage::empty) return;
      range.first = std::min(range.first, key);
      range.last = end;
    });
    return range;
  }
  static void apply(const void* any, const MaskedTile<T>& tile, const KeyRange& keys,
                    Coverage coverage) {
    const M& mask = mask_of(any);
    for (Index r = 0; r < tile.count; ++r) {
      T* scores = tile.scores + r * tile.stride;
      Site at = tile.rows.site(tile.row + r, 0);
      for (Index key = keys.first; key < keys.last; ++key) {
        at.key_index = tile.base + key;
        if constexpr (Biased<M>) {
          scores[key] = (scores[key] + static_cast<T>(mask.bias(at))) * kLog2e<T>;
        }
        if (coverage == Coverage::mixed && !mask.visible(at)) scores[key] = kMinusInfinity<T>;
      }
    }
  }
  static double slope(const void* any, Index head) {
    if constexpr (Sloped<M>) return static_cast<double>(mask_of(any).slope(head));
    return 0.0;
  }
};

template <class M, Real T>
inline constexpr MaskFunctions<T> kMaskFunctions{
    .biased = Biased<M>,
    .sloped = Sloped<M>,
    .classify = MaskHooks<M, T>::classify,
    .find_visible = MaskHooks<M, T>::find_visible,
    .apply = MaskHooks<M, T>::apply,
    .slope = MaskHooks<M, T>::slope,
};

/// A mask, its type erased. It does not own the mask.
template <Real T>
struct AnyMask {
  const void* mask;
  const MaskFunctions<T>* functions;

  template <class M>
  static AnyMask of(const M& mask) {
    return {&mask, &kMaskFunctions<M, T>};
  }
};

}  // namespace coca::inline v0::detail
