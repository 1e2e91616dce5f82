#pragma once

#include <algorithm>
#include <array>
#include <cstddef>

#include "coca/core/error.hpp"
#include "coca/core/scalar.hpp"
#include "coca/core/workspace.hpp"
#include "coca/kernel/query_rows.hpp"
#include "coca/kernel/sequences.hpp"
#include "coca/kernel/tile_engine.hpp"
#include "coca/mask/mask.hpp"

/// How a call of the backward kernel is cut, and the memory that takes.
namespace coca::inline v0::detail {

/// So many numbers, in an odd number of cache lines: rows that far apart, read down a column, fall on
/// all sets of a cache. Those a power of two apart fall on a few.
template <Real T>
constexpr Index odd_lines(Index count) {
  constexpr Index line = static_cast<Index>(kAlignment / sizeof(T));
  return ((count + line - 1) / line | 1) * line;
}

/// Most rows of a tile: so many steps of a transposed product while its sums stay in registers.
inline constexpr Index kGradientRows = 11 * kRowGroup;

/// From one row of a tile to the next.
template <Real T>
inline constexpr Index kTileStride = odd_lines<T>(kTileKeys);

/// Widths of a call, and from one row of phi, psi, values and their gradients to the next.
template <Real T>
struct BackwardWidths : ForwardWidths {
  Index phi;  ///< phi and psi in whole vectors
  Index phi_stride;
  Index value_stride;

  BackwardWidths(const TileEngine<T>& engine, const AttentionShape& shape, Index score_dim,
                 Index key_dim)
      : ForwardWidths(engine, shape, score_dim, key_dim),
        phi(round_up(score_dim, engine.vector)),
        phi_stride(odd_lines<T>(phi)),
        value_stride(odd_lines<T>(sums)) {}
};

/// One item, a sequence and key head: its operands, mapped once, and sums, as long as the sequence.
template <Real T>
struct BackwardSequence {
  T* phi;             ///< rows x phi_stride, scaled
  T* dphi;            ///< rows x phi_stride
  T* dout;            ///< rows x value_stride
  T* shifts;          ///< rows: lse in base 2, or 0 where nothing is seen
  T* means;           ///< rows: dout . out
  bool* finite_rows;  ///< rows: whether phi and dout are
  T* psi;             ///< keys x phi_stride
  T* dpsi;            ///< keys x phi_stride
  T* dv;              ///< keys x value_stride
  bool* finite_keys;  ///< keys: whether psi is
  T* key_panels;      ///< whole tiles of keys x score: psi once more, in panels
  T* value_panels;    ///< whole tiles of keys x value: values packed as keys are

  BackwardSequence(Carver& carver, Index rows, Index keys, const BackwardWidths<T>& widths)
      : phi(carver.take<T>(rows * widths.phi_stride)),
        dphi(carver.take<T>(rows * widths.phi_stride)),
        dout(carver.take<T>(rows * widths.value_stride)),
        shifts(carver.take<T>(rows)),
        means(carver.take<T>(rows)),
        finite_rows(carver.take<bool>(rows)),
        psi(carver.take<T>(keys * widths.phi_stride)),
        dpsi(carver.take<T>(keys * widths.phi_stride)),
        dv(carver.take<T>(keys * widths.value_stride)),
        finite_keys(carver.take<bool>(keys)),
        key_panels(carver.take<T>(whole_tiles(keys) * widths.score)),
        value_panels(carver.take<T>(whole_tiles(keys) * widths.value)) {}

  static std::size_t bytes(Index rows, Index keys, const BackwardWidths<T>& widths) {
    Carver measure;
    BackwardSequence(measure, rows, keys, widths);
    return measure.bytes();
  }

 private:
  static Index whole_tiles(Index keys) { return (keys + kTileKeys - 1) / kTileKeys * kTileKeys; }
};

/// One worker's memory, of a size that does not depend on the length of the sequence.
template <Real T>
struct BackwardBuffers {
  T* value_rows;   ///< kPackKeys x value, before they become panels
  T* scores;       ///< kGradientRows x kTileStride: scores, then weights
  T* products;     ///< dout . v, then the gradients of scores
  T* derivatives;  ///< of scores by phi . psi, where they bend
  T* token;        ///< one of any operand ...
  T* other_token;  ///< ... and another

  BackwardBuffers(Carver& carver, const BackwardWidths<T>& widths)
      : value_rows(carver.take<T>(kPackKeys * widths.value)),
        scores(carver.take<T>(kGradientRows * kTileStride<T>)),
        products(carver.take<T>(kGradientRows * kTileStride<T>)),
        derivatives(carver.take<T>(kGradientRows * kTileStride<T>)),
        token(carver.take<T>(widths.token)),
        other_token(carver.take<T>(widths.token)) {}

  static std::size_t bytes(const BackwardWidths<T>& widths) {
    Carver measure;
    BackwardBuffers(measure, widths);
    return measure.bytes();
  }
};

/// The blocks of queries, and of keys, of one sequence: as many of either, by its length alone. Cells
/// (i, (i + s) mod count) of step s share neither, so they may be computed at the same time, and a
/// block's sums are always made in the order of the steps.
class BackwardCut {
 public:
  static constexpr Index kMostBlocks = 16;

  BackwardCut(Index queries, Index keys)
      : queries_(queries),
        keys_(keys),
        count_(std::clamp<Index>(std::min(queries, keys) / kBlockTokens, 1, kMostBlocks)),
        query_size_(std::max<Index>((queries + count_ - 1) / count_, 1)),
        key_size_(((keys + count_ - 1) / count_ + kTileKeys - 1) / kTileKeys * kTileKeys) {}

  Index count() const { return count_; }
  Index first_query(Index block) const { return std::min(block * query_size_, queries_); }
  Index first_key(Index block) const { return std::min(block * key_size_, keys_); }

 private:
  /// Where a block begins and ends, tiles are cut: fewer tokens would be little but edges.
  static constexpr Index kBlockTokens = 512;

  Index queries_;
  Index keys_;
  Index count_;
  Index query_size_;
  Index key_size_;
};

/// How the work is shared out. One worker an item, a sequence and key head; or, where that would leave
/// workers idle, one item after the other and a worker a cell. A number's sum is the same either way.
class BackwardPlan {
 public:
  /// For a device of so many threads, of which as many may help. `one_by_one`: items add to the same
  /// numbers, so they must come in order.
  template <Real T>
  BackwardPlan(const Sequences& sequences, const AttentionShape& shape,
               const BackwardWidths<T>& widths, int threads, int helpers, bool one_by_one)
      : items_((check_sizes(shape, widths, threads), sequences.count * shape.key_heads)),
        rows_(items_ == 0 ? 0 : sequences.queries * (shape.query_heads / shape.key_heads)),
        keys_(sequences.keys),
        cut_(sequences.queries, sequences.keys) {
    const auto turns = [&](Index work) { return (work + threads - 1) / threads; };
    const Index blocks = cut_.count();
    by_items_ = !one_by_one && turns(items_) * blocks <= items_ * turns(blocks);

    most_workers_ = static_cast<int>(std::clamp<Index>(by_items_ ? items_ : blocks, 1, threads));
    const double operations = 10.0 * static_cast<double>(items_) * static_cast<double>(rows_) *
                              static_cast<double>(keys_) * static_cast<double>(widths.score);
    workers_ = static_cast<int>(std::clamp(operations / kWorthAThread, 1.0,
                                           static_cast<double>(std::min(most_workers_, helpers))));
  }

  Index items() const { return items_; }
  const BackwardCut& cut() const { return cut_; }
  bool by_items() const { return by_items_; }
  int workers() const { return workers_; }
  /// On such a device, whoever calls and however little there is to do.
  int most_workers() const { return most_workers_; }
  Index rows() const { return rows_; }
  Index keys() const { return keys_; }
  template <Real T>
  std::size_t item_bytes(const BackwardWidths<T>& widths) const {
    return BackwardSequence<T>::bytes(rows_, keys_, widths);
  }
  /// For the memory of so many workers.
  template <Real T>
  std::size_t bytes(const BackwardWidths<T>& widths, int workers) const {
    const auto count = static_cast<std::size_t>(workers);
    return item_bytes(widths) * (by_items_ ? count : 1) + BackwardBuffers<T>::bytes(widths) * count;
  }

 private:
  static constexpr double kWorthAThread = 2e6;  ///< operations, as in ForwardPlan

  /// Rejects sizes for which the bytes of work memory cannot be counted.
  template <Real T>
  static void check_sizes(const AttentionShape& shape, const BackwardWidths<T>& widths,
                          int threads) {
    const auto wide = [](Index x) { return static_cast<double>(x); };
    const double width = 4.0 * wide(widths.phi_stride) + 4.0 * wide(widths.value_stride) +
                         2.0 * wide(widths.token) + 8.0;
    const double tokens =
        wide(shape.queries) * wide(shape.query_heads) + wide(shape.keys) + wide(kTileKeys);
    const double sinks = wide(shape.batch) * wide(shape.query_heads) * BackwardCut::kMostBlocks;
    const double bytes = sizeof(T) * width * tokens * threads + sizeof(double) * sinks;
    require_countable("the work memory of gradients", bytes, [&] {
      const std::array sizes{shape.batch, shape.queries, shape.keys, shape.query_heads};
      return "that of " + list_text(sizes) + " = [batch, queries, keys, heads of q]";
    });
  }

  Index items_;
  Index rows_;  ///< of an item
  Index keys_;
  BackwardCut cut_;
  bool by_items_;
  int most_workers_;
  int workers_;
};

}  // namespace coca::inline v0::detail
