#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "coca/core/scalar.hpp"
#include "coca/kernel/key_block.hpp"
#include "coca/kernel/query_rows.hpp"
#include "coca/kernel/tile_engine.hpp"
#include "coca/kernel/tile_scores.hpp"
#include "coca/mask/mask.hpp"

/// The walk over the tiles of a work item.
namespace coca::inline v0::detail {

/// After so many blocks, sums join totals and begin anew: each addition rounds, and the more there are in
/// a row the worse. Counted from the first key of the sequence, not of what an item or a mask leaves.
inline constexpr Index kBlocksOfASum = 32;

/// The work on one item. `Operands` brings queries, keys and values from where they are, block by
/// block.
template <Real T, class Operands>
class ForwardBlock {
 public:
  ForwardBlock(const ForwardCall<T>& call, const TileEngine<T>& engine, const ForwardWidths& widths,
               const TileBuffers<T>& buffers, Operands& operands)
      : engine_(engine),
        widths_(widths),
        buffers_(buffers),
        operands_(operands),
        scores_(call, engine, operands, kTileKeys, call.scheme.functions->logits),
        rows_(operands.rows()) {}

  /// Queries, and the sinks if this item is the one to count them.
  void begin(bool sinks) {
    operands_.load_queries(scores_.phi_factor());
    if (sinks) operands_.add_sinks();
  }

  /// Blocks first .. last of keys.
  void run(Index first, Index last) {
    for (Index number = first; number < last; ++number) {
      const KeyBlock block = operands_.block(number);
      const KeyBlock next = number + 1 < last ? operands_.block(number + 1) : KeyBlock{};
      visit(block, next);
      const bool more = number + 1 < last;
      if (more && (number + 1) % kBlocksOfASum == 0) add_to_totals();
    }
    if (totals_begun_) buffers_.sums.merge(engine_, buffers_.totals, rows_);
  }

 private:
  /// Sums begin anew, but for their maxima: these only rise.
  void add_to_totals() {
    if (buffers_.totals.first == nullptr || !fresh_) return;
    if (totals_begun_) {
      buffers_.totals.merge(engine_, buffers_.sums, rows_);
    } else {
      buffers_.totals.assign(buffers_.sums, rows_);
    }
    std::fill_n(buffers_.sums.first, rows_ * buffers_.sums.width, T(0));
    totals_begun_ = true;
    fresh_ = false;
  }

  void visit(const KeyBlock& block, const KeyBlock& next) {
    bool loaded = false;
    Index ahead = next.begin;
    const Index ahead_step = ahead < next.end ? 1 + kTileKeys * kTileRows / rows_ : 0;
    for (Index row = 0; row < rows_; row += kTileRows) {
      const Index rows = std::min(kTileRows, rows_ - row);
      const Coverage coverage =
          scores_.classify(row, rows, block.base + block.begin, block.base + block.end);
      if (coverage == Coverage::empty) continue;
      if (!loaded) operands_.load_keys(block, next);
      loaded = true;
      fresh_ = true;
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

  /// Gives the values set aside to the rows with a weight for them.
  void add_non_finite(Index row, Index rows, const KeyBlock& block, Index first, Index last) {
    for (Index key = first; key < last; ++key) {
      const T* value = operands_.value_row(block.base + key, buffers_.scratch);
      for (Index i = 0; i < widths_.value; ++i) {
        if (std::isfinite(value[i])) continue;
        for (Index r = 0; r < rows; ++r) {
          const T weight = buffers_.scores[r * kTileKeys + key];
          T& sum = buffers_.sums.row(row + r)[i];
          if (weight != T(0)) sum += weight * value[i];
        }
      }
    }
  }

  void visit_full_tile(Index row, Index rows, const KeyBlock& block) {
    const KeyRange keys{block.begin, block.end};
    const KeyRange whole = scores_.whole_vectors(keys);
    operands_.scores(row, rows, whole.first, whole.last);
    scores_.finish_full(buffers_.scores, nullptr, row, rows, block.base, keys);
    finish_rows(row, rows, block, keys);
  }

  /// A few rows of a tile that is cut by the mask's edge: only the keys from the first to the last
  /// that they see are computed, and only at the edge are pairs asked about.
  void visit_mixed_rows(Index row, Index rows, const KeyBlock& block) {
    const KeyRange keys = scores_.find_visible(row, rows, block);
    if (keys.first >= keys.last) return;
    const KeyRange whole = scores_.whole_vectors(keys);
    operands_.scores(row, rows, whole.first, whole.last);
    scores_.finish_found(buffers_.scores, nullptr, row, rows, block.base, keys);
    finish_rows(row, rows, block, keys);
  }

  /// Softmax and values, for rows whose scores of some keys of the block are ready.
  void finish_rows(Index row, Index rows, const KeyBlock& block, const KeyRange& keys) {
    const auto [from, to] = scores_.whole_vectors(keys);
    engine_.softmax(buffers_.scores + from, rows, to - from, buffers_.sums.maxima + row,
                    buffers_.sums.row(row), widths_.sums);
    // Before the weights may be rounded in their place.
    if (!operands_.values_finite()) add_non_finite(row, rows, block, keys.first, keys.last);
    operands_.add_values(row, rows, keys.first, keys.last);
  }

  const TileEngine<T>& engine_;
  const ForwardWidths& widths_;
  TileBuffers<T> buffers_;
  Operands& operands_;
  TileScores<T> scores_;
  Index rows_;
  bool fresh_ = false;         ///< whether a block was visited since sums began
  bool totals_begun_ = false;  ///< whether there are totals
};

}  // namespace coca::inline v0::detail
