#pragma once

#include <algorithm>
#include <cstddef>

#include "coca/core/scalar.hpp"
#include "coca/core/workspace.hpp"
#include "coca/kernel/query_rows.hpp"
#include "coca/kernel/sequences.hpp"
#include "coca/kernel/tile_engine.hpp"
#include "coca/mask/mask.hpp"

/// How a call of decode is cut into work items, and the memory that takes.
namespace coca::inline v0::detail {

/// Blocks of kTileKeys lanes.
inline Index block_count(const PanelRun& run) { return (run.lanes() + kTileKeys - 1) / kTileKeys; }
inline Index block_count(const PanelSequence& sequence) {
  return block_count(sequence.runs[0]) + block_count(sequence.runs[1]);
}

/// One worker's memory. Sums and maxima are not a worker's but an item's: they are merged.
template <Real T>
struct DecodeBuffers : TileBuffers<T> {
  T* turned;         ///< rows x score: the queries, turned to the block of keys at hand
  T* panel_queries;  ///< and to the panel; or in 16-bit integers, each row with its unit
  T* cosines;        ///< of that turn, for every pair
  T* sines;
  T* keys;    ///< one panel of psi
  T* values;  ///< one panel of values without NaN and Inf, or one psi

  DecodeBuffers(Carver& carver, Index rows, const ForwardWidths& widths)
      : TileBuffers<T>(carver.take<T>(rows * widths.score), {}, {},
                       carver.take<T>(rows * kTileKeys), carver.take<T>(widths.token)),
        turned(carver.take<T>(rows * widths.score)),
        panel_queries(carver.take<T>(rows * (widths.score + 1))),
        cosines(carver.take<T>(widths.score + 16)),
        sines(carver.take<T>(widths.score + 16)),
        keys(carver.take<T>(kPanelTokens * widths.score)),
        values(
            carver.take<T>(std::max(kPanelTokens * (widths.value + kPanelTokens), widths.score))) {}

  static std::size_t bytes(Index rows, const ForwardWidths& widths) {
    Carver measure;
    DecodeBuffers(measure, rows, widths);
    return measure.bytes();
  }
};

/// Some blocks of keys for all rows of a sequence and a key head.
struct DecodeItem {
  Index sequence;
  Index key_head;
  Index first_block;
  Index last_block;
  Index parts;  ///< how many items share the rows; the first of them holds the sinks
  Index part;
};

/// How a call is cut: by sequences, key heads, and parts of the keys. The parts of a sequence follow
/// from its length alone, so that its result depends neither on the number of threads nor on the
/// other sequences.
class DecodePlan {
 public:
  /// `first_items` has room for sequences.count + 1 numbers.
  DecodePlan(const Sequences& sequences, const AttentionShape& shape, Index* first_items)
      : sequences_(sequences), key_heads_(shape.key_heads), first_items_(first_items) {
    Index items = 0;
    for (Index s = 0; s < sequences.count; ++s) {
      first_items_[s] = items;
      items += items_of(sequences(s), key_heads_);
    }
    first_items_[sequences.count] = items;
  }

  /// How many items a call has.
  static Index count(const Sequences& sequences, const AttentionShape& shape) {
    Index items = 0;
    for (Index s = 0; s < sequences.count; ++s) {
      items += items_of(sequences(s), shape.key_heads);
    }
    return items;
  }

  static std::size_t order_bytes(const Sequences& sequences) {
    return aligned_bytes(static_cast<std::size_t>(sequences.count + 1) * sizeof(Index));
  }

  Index items() const { return first_items_[sequences_.count]; }

  /// Neighbours are heads of the same keys, which lie near each other.
  DecodeItem item(Index number) const {
    const Index* next = std::upper_bound(first_items_, first_items_ + sequences_.count + 1, number);
    const Index s = next - first_items_ - 1;
    const Index within = number - first_items_[s];
    const Index part = within / key_heads_;
    const Index all = blocks(s);
    const Index size = part_blocks(all);
    return {s,   within % key_heads_, part * size, std::min((part + 1) * size, all), parts(all),
            part};
  }
  /// The number of an item of the same sequence and head, by its part.
  Index number(const DecodeItem& item, Index part) const {
    return first_items_[item.sequence] + part * key_heads_ + item.key_head;
  }

  /// How many workers the work is worth.
  static int workers(const Sequences& sequences, const AttentionShape& shape,
                     const ForwardWidths& widths, int helpers) {
    double work = 0.0;
    for (Index s = 0; s < sequences.count; ++s) {
      const Sequence own = sequences(s);
      if (own.queries == 0) continue;
      // Reading a number takes as long as several operations.
      const Index rows = own.queries * shape.query_heads + 4 * shape.key_heads;
      work += static_cast<double>(own.keys) * static_cast<double>(rows) *
              static_cast<double>(widths.score + widths.value);
    }
    const auto worth =
        static_cast<Index>(std::clamp(work / 1e6, 1.0, static_cast<double>(helpers)));
    return static_cast<int>(std::clamp<Index>(count(sequences, shape), 1, worth));
  }

 private:
  /// Parts are large enough to make up for merging them, and so few that their sums stay small.
  static constexpr Index kFewestBlocks = 8;
  static constexpr Index kMostParts = 64;

  static Index items_of(const Sequence& sequence, Index key_heads) {
    return sequence.queries == 0 ? 0 : parts(block_count(*sequence.cached)) * key_heads;
  }
  Index blocks(Index s) const { return block_count(*sequences_(s).cached); }
  static Index part_blocks(Index blocks) {
    return std::max(kFewestBlocks, (blocks + kMostParts - 1) / kMostParts);
  }
  static Index parts(Index blocks) {
    return std::max<Index>(1, (blocks + part_blocks(blocks) - 1) / part_blocks(blocks));
  }

  const Sequences& sequences_;
  Index key_heads_;
  Index* first_items_;  ///< of each sequence, and behind them the number of all items
};

}  // namespace coca::inline v0::detail
