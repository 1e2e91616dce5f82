#pragma once

#include <algorithm>
#include <array>
#include <cstddef>

#include "coca/core/scalar.hpp"
#include "coca/kernel/key_block.hpp"
#include "coca/kernel/softmax.hpp"
#include "coca/kernel/tile_engine.hpp"
#include "coca/mask/mask.hpp"
#include "coca/scheme/scheme.hpp"

/// What becomes of the products of a tile before they are weights: the scheme's logits, the soft-cap
/// and the mask.
namespace coca::inline v0::detail {

/// Keys of a block, from the first to behind the last.
struct KeyRange {
  Index first;
  Index last;
};

/// `Rows` says which query and head a row is; rows of scores are `Stride` apart. Whoever wants
/// `Derivatives` gets, beside each score, that of the natural score by the product.
template <class Call, class Rows, Index Stride, bool Derivatives = false>
class TileScores {
  using T = typename Call::Number;
  using S = typename Call::Scheme;
  using M = typename Call::Mask;

  /// What hooks take and give is in natural units; everything else is in base 2.
  static constexpr bool kHooks = TransformsLogits<S, T> || Biased<M>;

 public:
  TileScores(const Call& call, const TileEngine<T>& engine, const Rows& rows)
      : call_(call), engine_(engine), rows_(rows) {}

  /// What phi is multiplied by, so that products come as they are wanted: by hooks in natural units, by
  /// the soft-cap as the arguments of its tanh, else in base 2, to which those two bring them.
  T phi_factor() const {
    if (!TransformsLogits<S, T> && call_.soft_cap > T(0)) return call_.scale / call_.soft_cap;
    return kHooks || call_.soft_cap > T(0) ? call_.scale : call_.scale * kLog2e<T>;
  }
  /// The scale over phi_factor, where both are 0 too.
  T score_unit() const {
    if (!TransformsLogits<S, T> && call_.soft_cap > T(0)) return call_.soft_cap;
    return kHooks || call_.soft_cap > T(0) ? T(1) : T(1) / kLog2e<T>;
  }
  /// Whether scores bend, so that their derivatives are not 1.
  bool bends() const { return TransformsLogits<S, T> || call_.soft_cap > T(0); }

  Coverage classify(Index row, Index rows, Index key_begin, Index key_end) const {
    return call_.mask.classify(MaskTile{.batch = rows_.sequence().index,
                                        .head_begin = rows_.first_head(),
                                        .head_end = rows_.last_head() + 1,
                                        .query_begin = rows_.query_of(row),
                                        .query_end = rows_.query_of(row + rows - 1) + 1,
                                        .key_begin = key_begin,
                                        .key_end = key_end,
                                        .query_offset = rows_.query_offset(),
                                        .key_offset = rows_.key_offset()});
  }

  /// The keys that some rows cut by the mask's edge see, up to whole vectors. What is found of each
  /// vector is kept for `finish`.
  KeyRange find_visible(Index row, Index rows, const KeyBlock& block) {
    KeyRange range{block.end, block.begin};
    for_each_vector({block.begin, block.end}, [&](Index key, Index end) {
      const Coverage coverage = classify(row, rows, block.base + key, block.base + end);
      coverages_[static_cast<std::size_t>(key)] = coverage;
      if (coverage == Coverage::empty) return;
      range.first = std::min(range.first, key);
      range.last = end;
    });
    return range;
  }

  /// Products into scores, in base 2, of rows that see all keys of the range ...
  void finish_full(T* scores, T* derivatives, Index row, Index rows, Index base,
                   const KeyRange& keys) {
    transform(scores, derivatives, row, rows, base, keys);
    if constexpr (Biased<M>) mask(scores, row, rows, base, keys, Coverage::full);
    hide_beside(scores, rows, keys);
  }
  /// ... or of those that find_visible was asked about last.
  void finish_found(T* scores, T* derivatives, Index row, Index rows, Index base,
                    const KeyRange& keys) {
    transform(scores, derivatives, row, rows, base, keys);
    for_each_vector(keys, [&](Index key, Index end) {
      const Coverage coverage = coverages_[static_cast<std::size_t>(key)];
      if (coverage == Coverage::empty) {
        hide(scores, rows, key, end);
      } else if (Biased<M> || coverage == Coverage::mixed) {
        mask(scores, row, rows, base, {key, end}, coverage);
      }
    });
    hide_beside(scores, rows, keys);
  }

  /// The same range, up to whole vectors.
  KeyRange whole_vectors(const KeyRange& keys) const {
    return {vector_before(keys.first),
            (keys.last + engine_.vector - 1) / engine_.vector * engine_.vector};
  }

  Site site(Index row, Index key) const {
    return {.batch = rows_.sequence().index,
            .head = rows_.head_of(row),
            .query_index = rows_.query_of(row),
            .key_index = key,
            .query_offset = rows_.query_offset(),
            .key_offset = rows_.key_offset()};
  }

 private:
  Index vector_before(Index key) const { return key / engine_.vector * engine_.vector; }

  /// Calls visit(first, last) for the parts of some keys that are in the same vector.
  template <class Visit>
  void for_each_vector(const KeyRange& keys, const Visit& visit) const {
    for (Index key = keys.first; key < keys.last;) {
      const Index end = std::min(vector_before(key) + engine_.vector, keys.last);
      visit(key, end);
      key = end;
    }
  }

  void hide(T* scores, Index rows, Index first, Index last) const {
    for (Index r = 0; r < rows && first < last; ++r) {
      std::fill(scores + r * Stride + first, scores + r * Stride + last, kMinusInfinity<T>);
    }
  }
  /// What fills up the vectors of a range.
  void hide_beside(T* scores, Index rows, const KeyRange& keys) const {
    const KeyRange whole = whole_vectors(keys);
    hide(scores, rows, whole.first, keys.first);
    hide(scores, rows, keys.last, whole.last);
  }

  /// The scheme's logits, the soft-cap and the mask's slopes.
  void transform(T* tile, T* derivatives, Index row, Index rows, Index base,
                 const KeyRange& keys) const {
    constexpr T unit = Biased<M> ? T(1) : kLog2e<T>;
    if constexpr (TransformsLogits<S, T>) {
      const T factor = call_.soft_cap > T(0) ? T(1) / call_.soft_cap : unit;
      for (Index r = 0; r < rows; ++r) {
        T* scores = tile + r * Stride;
        Site at = site(row + r, 0);
        for (Index key = keys.first; key < keys.last; ++key) {
          at.key_index = base + key;
          if constexpr (Derivatives) {
            derivatives[r * Stride + key] =
                static_cast<T>(call_.scheme.logit_derivative(scores[key], at));
          }
          scores[key] = factor * static_cast<T>(call_.scheme.logit(scores[key], at));
        }
      }
    }
    const auto [from, to] = whole_vectors(keys);
    if (call_.soft_cap > T(0)) {
      engine_.soft_cap(tile + from, Stride, rows, to - from, call_.soft_cap * unit);
      if constexpr (Derivatives) {
        for (Index r = 0; r < rows; ++r) {
          gradient_functions<T>(target()).derive_soft_cap(
              tile + r * Stride + from, derivatives + r * Stride + from, to - from,
              T(1) / (call_.soft_cap * unit), !TransformsLogits<S, T>);
        }
      }
    }
    if constexpr (Sloped<M>) {
      for (Index r = 0; r < rows; ++r) {
        const Site at = site(row + r, base + from);
        engine_.add_slope(tile + r * Stride + from, to - from,
                          static_cast<T>(at.query() - at.key()),
                          unit * static_cast<T>(call_.mask.slope(at.head)));
      }
    }
  }

  /// The mask's biases and what it hides.
  void mask(T* tile, Index row, Index rows, Index base, const KeyRange& keys,
            Coverage coverage) const {
    for (Index r = 0; r < rows; ++r) {
      T* scores = tile + r * Stride;
      Site at = site(row + r, 0);
      for (Index key = keys.first; key < keys.last; ++key) {
        at.key_index = base + key;
        if constexpr (Biased<M>) {
          scores[key] = (scores[key] + static_cast<T>(call_.mask.bias(at))) * kLog2e<T>;
        }
        if (coverage == Coverage::mixed && !call_.mask.visible(at)) {
          scores[key] = kMinusInfinity<T>;
        }
      }
    }
  }

  const Call& call_;
  const TileEngine<T>& engine_;
  const Rows& rows_;
  std::array<Coverage, kTileKeys> coverages_;
};

}  // namespace coca::inline v0::detail
