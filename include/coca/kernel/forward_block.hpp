#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>

#include "coca/core/scalar.hpp"
#include "coca/kernel/key_block.hpp"
#include "coca/kernel/query_rows.hpp"
#include "coca/kernel/softmax.hpp"
#include "coca/kernel/tile_engine.hpp"
#include "coca/mask/mask.hpp"
#include "coca/scheme/scheme.hpp"

/// The walk over the tiles of a work item.
namespace coca::inline v0::detail {

/// The work on one item. `Operands` brings queries, keys and values from where they are, block by
/// block.
template <class Call, class Operands>
class ForwardBlock {
  using T = typename Call::Number;
  using S = typename Call::Scheme;
  using M = typename Call::Mask;

  /// What hooks take and give is in natural units; everything else is in base 2.
  static constexpr bool kHooks = TransformsLogits<S, T> || Biased<M>;

 public:
  ForwardBlock(const Call& call, const TileEngine<T>& engine, const ForwardWidths& widths,
               const TileBuffers<T>& buffers, Operands& operands)
      : call_(call),
        engine_(engine),
        widths_(widths),
        buffers_(buffers),
        operands_(operands),
        rows_(operands.rows()) {}

  /// Queries, and the sinks if this item is the one to count them.
  void begin(bool sinks) {
    // Whatever changes scores wants them in natural units, and converts them when it is done.
    const bool natural = kHooks || call_.soft_cap > T(0);
    operands_.load_queries(natural ? call_.scale : call_.scale * kLog2e<T>);
    if (sinks) operands_.add_sinks();
  }

  /// Blocks first .. last of keys.
  void run(Index first, Index last) {
    for (Index number = first; number < last; ++number) {
      const KeyBlock block = operands_.block(number);
      const KeyBlock next = number + 1 < last ? operands_.block(number + 1) : KeyBlock{};
      visit(block, next);
    }
  }

 private:
  T* sums_of(Index row) const { return buffers_.sums + row * widths_.row(); }

  void visit(const KeyBlock& block, const KeyBlock& next) {
    bool loaded = false;
    Index ahead = next.begin;
    const Index ahead_step = 1 + kTileKeys * kTileRows / rows_;
    for (Index row = 0; row < rows_; row += kTileRows) {
      const Index rows = std::min(kTileRows, rows_ - row);
      const Coverage coverage =
          classify(row, rows, block.base + block.begin, block.base + block.end);
      if (coverage == Coverage::empty) continue;
      if (!loaded) operands_.load_keys(block, next);
      loaded = true;
      // Each tile asks for its share of the next block.
      for (Index i = 0; i < ahead_step && ahead < next.end; ++i, ++ahead) {
        operands_.prefetch_key(next.base + ahead);
      }
      if (coverage == Coverage::full) {
        visit_full_tile(row, rows, block);
      } else {
        for (Index r = 0; r < rows; r += kRowGroup) {
          visit_mixed_rows(row + r, std::min(kRowGroup, rows - r), block);
        }
      }
    }
  }

  Coverage classify(Index row, Index rows, Index key_begin, Index key_end) const {
    return call_.mask.classify(MaskTile{.batch = operands_.sequence().index,
                                        .head_begin = operands_.first_head(),
                                        .head_end = operands_.last_head() + 1,
                                        .query_begin = operands_.query_of(row),
                                        .query_end = operands_.query_of(row + rows - 1) + 1,
                                        .key_begin = key_begin,
                                        .key_end = key_end,
                                        .query_offset = operands_.query_offset(),
                                        .key_offset = operands_.key_offset()});
  }

  /// Gives the values set aside to the rows with a weight for them.
  void add_non_finite(Index row, Index rows, const KeyBlock& block, Index first, Index last) {
    for (Index key = first; key < last; ++key) {
      const T* value = operands_.value_row(block.base + key, buffers_.scratch);
      for (Index i = 0; i < widths_.value; ++i) {
        if (std::isfinite(value[i])) continue;
        for (Index r = 0; r < rows; ++r) {
          const T weight = buffers_.scores[r * kTileKeys + key];
          T& sum = sums_of(row + r)[i];
          if (weight != T(0)) sum += weight * value[i];
        }
      }
    }
  }

  void visit_full_tile(Index row, Index rows, const KeyBlock& block) {
    operands_.scores(row, rows, vector_before(block.begin), operands_.whole_vectors(block.end));
    transform_scores(row, rows, block.base, block.begin, block.end);
    if constexpr (Biased<M>) {
      mask_scores(row, rows, block.base, block.begin, block.end, Coverage::full);
    }
    finish_rows(row, rows, block, block.begin, block.end);
  }

  /// A few rows of a tile that is cut by the mask's edge: only the keys from the first to the last
  /// that they see are computed, and only at the edge are pairs asked about.
  void visit_mixed_rows(Index row, Index rows, const KeyBlock& block) {
    std::array<Coverage, kTileKeys> coverages;
    Index first = block.end;
    Index last = block.begin;
    for_each_vector(block.begin, block.end, [&](Index key, Index end) {
      const Coverage coverage = classify(row, rows, block.base + key, block.base + end);
      coverages[static_cast<std::size_t>(key)] = coverage;
      if (coverage == Coverage::empty) return;
      first = std::min(first, key);
      last = end;
    });
    if (first >= last) return;
    operands_.scores(row, rows, vector_before(first), operands_.whole_vectors(last));
    transform_scores(row, rows, block.base, first, last);
    for_each_vector(first, last, [&](Index key, Index end) {
      const Coverage coverage = coverages[static_cast<std::size_t>(key)];
      if (coverage == Coverage::empty) {
        hide(rows, key, end);
      } else if (Biased<M> || coverage == Coverage::mixed) {
        mask_scores(row, rows, block.base, key, end, coverage);
      }
    });
    finish_rows(row, rows, block, first, last);
  }

  Index vector_before(Index key) const { return key / engine_.vector * engine_.vector; }
  /// Calls visit(first, last) for the parts of some keys that are in the same vector.
  template <class Visit>
  void for_each_vector(Index first, Index last, const Visit& visit) const {
    for (Index key = first; key < last;) {
      const Index end = std::min(vector_before(key) + engine_.vector, last);
      visit(key, end);
      key = end;
    }
  }
  void hide(Index rows, Index first, Index last) const {
    for (Index r = 0; r < rows && first < last; ++r) {
      std::fill(buffers_.scores + r * kTileKeys + first, buffers_.scores + r * kTileKeys + last,
                kMinusInfinity<T>);
    }
  }

  Site site(Index row, Index key) const {
    return {.batch = operands_.sequence().index,
            .head = operands_.head_of(row),
            .query_index = operands_.query_of(row),
            .key_index = key,
            .query_offset = operands_.query_offset(),
            .key_offset = operands_.key_offset()};
  }

  /// The scheme's logits, the soft-cap and the mask's slopes, for keys first .. last of the block.
  void transform_scores(Index row, Index rows, Index base, Index first, Index last) {
    constexpr T unit = Biased<M> ? T(1) : kLog2e<T>;
    if constexpr (TransformsLogits<S, T>) {
      const T factor = call_.soft_cap > T(0) ? T(1) : unit;
      for (Index r = 0; r < rows; ++r) {
        T* scores = buffers_.scores + r * kTileKeys;
        Site at = site(row + r, 0);
        for (Index key = first; key < last; ++key) {
          at.key_index = base + key;
          scores[key] = factor * static_cast<T>(call_.scheme.logit(scores[key], at));
        }
      }
    }
    if (call_.soft_cap > T(0)) {
      const Index from = vector_before(first);
      engine_.soft_cap(buffers_.scores + from, rows, operands_.whole_vectors(last) - from,
                       call_.soft_cap, unit);
    }
    if constexpr (Sloped<M>) {
      const Index from = vector_before(first);
      const Index count = operands_.whole_vectors(last) - from;
      for (Index r = 0; r < rows; ++r) {
        const Site at = site(row + r, base + from);
        engine_.add_slope(buffers_.scores + r * kTileKeys + from, count,
                          static_cast<T>(at.query() - at.key()),
                          unit * static_cast<T>(call_.mask.slope(at.head)));
      }
    }
  }

  /// The mask's biases and what it hides, for keys first .. last of the block.
  void mask_scores(Index row, Index rows, Index base, Index first, Index last, Coverage coverage) {
    for (Index r = 0; r < rows; ++r) {
      T* scores = buffers_.scores + r * kTileKeys;
      Site at = site(row + r, 0);
      for (Index key = first; key < last; ++key) {
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

  /// Softmax and values, for rows whose scores of keys first .. last of the block are ready.
  void finish_rows(Index row, Index rows, const KeyBlock& block, Index first, Index last) {
    const Index from = vector_before(first);
    const Index to = operands_.whole_vectors(last);
    hide(rows, from, first);
    hide(rows, last, to);
    engine_.softmax(buffers_.scores + from, rows, to - from, buffers_.maxima + row, sums_of(row),
                    widths_.sums);
    // Before the weights may be rounded in their place.
    if (!operands_.values_finite()) add_non_finite(row, rows, block, first, last);
    operands_.add_values(row, rows, first, last);
  }

  const Call& call_;
  const TileEngine<T>& engine_;
  const ForwardWidths& widths_;
  TileBuffers<T> buffers_;
  Operands& operands_;
  Index rows_;
};

}  // namespace coca::inline v0::detail
