#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>
#include <type_traits>
#include <utility>

#include "coca/core/scalar.hpp"
#include "coca/core/sorted.hpp"
#include "coca/core/workspace.hpp"
#include "coca/kernel/query_rows.hpp"
#include "coca/kernel/sequences.hpp"
#include "coca/kernel/tile_engine.hpp"
#include "coca/mask/mask.hpp"

/// How a call of the forward kernel is cut into work items, and the memory that takes.
namespace coca::inline v0::detail {

/// One worker's memory, of a size that does not depend on the length of the sequence.
template <Real T>
struct ForwardBuffers : TileBuffers<T> {
  T* keys;        ///< kTileKeys x score, in panels
  T* values;      ///< kTileKeys x sums, in panels
  T* key_rows;    ///< kPackKeys x score, before they become panels
  T* value_rows;  ///< kPackKeys x value, likewise
  T* cosines;     ///< of a turn of keys, for every pair
  T* sines;

  ForwardBuffers(Carver& carver, Index rows, const ForwardWidths& widths)
      : TileBuffers<T>(carver.take<T>(rows * widths.score), take_sums(carver, rows, widths),
                       take_sums(carver, rows, widths), carver.take<T>(kTileRows * kTileKeys),
                       carver.take<T>(widths.token)),
        keys(carver.take<T>(kTileKeys * widths.score)),
        values(carver.take<T>(kTileKeys * widths.sums)),
        key_rows(carver.take<T>(kPackKeys * widths.score)),
        value_rows(carver.take<T>(kPackKeys * widths.value)),
        cosines(carver.take<T>(widths.score / 2 + 16)),
        sines(carver.take<T>(widths.score / 2 + 16)) {}

  static std::size_t bytes(Index rows, const ForwardWidths& widths) {
    Carver measure;
    ForwardBuffers(measure, rows, widths);
    return measure.bytes();
  }

  /// As many rows as 4 MiB have room for, whole tiles: what is in use of them at a time, queries and
  /// sums, then stays near. At least two tiles, or a load of keys is hardly shared.
  static Index most_rows(const ForwardWidths& widths) {
    constexpr Index most_bytes = Index{4} << 20;
    constexpr auto rounded_up = static_cast<Index>(6 * kAlignment);  // five pieces, and the block
    const Index row_bytes = (widths.score + 2 * widths.row() + 2) * static_cast<Index>(sizeof(T));
    const Index room = most_bytes - static_cast<Index>(bytes(0, widths)) - rounded_up;
    return std::max<Index>(room / row_bytes / kTileRows, 2) * kTileRows;
  }

 private:
  static RowSums<T> take_sums(Carver& carver, Index rows, const ForwardWidths& widths) {
    return {carver.take<T>(rows * widths.row()), carver.take<T>(rows), widths.row()};
  }
};

/// How a call is cut into work items. A row's result does not depend on its item, so the cut may
/// depend on the number of threads.
class ForwardPlan {
 public:
  /// Cut for a device of so many threads, of which as many may help. `most_rows` is what a worker has
  /// room for.
  ForwardPlan(const Sequences& sequences, const AttentionShape& shape, const ForwardWidths& widths,
              Index most_rows, int threads, int helpers)
      : sequences_(sequences), key_heads_(shape.key_heads) {
    if (key_heads_ == 0) return;
    group_ = shape.query_heads / key_heads_;
    const Index total_rows = key_heads_ * sum([&](Index s) { return rows(s); });
    const Index most = rows_for(1, total_rows, most_rows);
    cut(most);
    // Workers want several items each, and as many as the others: some counts divide better.
    double least_waste = std::numeric_limits<double>::infinity();
    Index best = most;
    const auto try_items = [&](Index each) {
      const Index rows = rows_for(each * threads, total_rows, most_rows);
      cut(rows);
      const Index turns = (items() + threads - 1) / threads;
      const double waste = static_cast<double>(turns * threads) / static_cast<double>(items());
      if (waste >= least_waste) return;
      least_waste = waste;
      best = rows;
    };
    if (threads > 1) {
      // As few as may be, and a few more.
      const Index fewest = std::max((items() + threads - 1) / threads, kFewestItems);
      for (Index each = fewest; each <= fewest + kFewestItems; ++each) try_items(each);
    }
    cut(best);

    const double pairs = sum([&](Index s) {
      return static_cast<double>(rows(s)) * static_cast<double>(sequences_(s).keys);
    });
    const double operations = 2.0 * pairs * static_cast<double>(key_heads_) *
                              static_cast<double>(widths.score + widths.value);
    workers_ = static_cast<int>(
        std::clamp(operations / kWorthAThread, 1.0, static_cast<double>(std::max(1, helpers))));
    workers_ = static_cast<int>(std::clamp<Index>(items(), 1, workers_));
  }

  Index rows_per_block() const { return rows_per_block_; }
  Index items() const { return blocks_ * key_heads_; }
  int workers() const { return workers_; }

  /// No fewer than the rows_per_block of a call of these sizes, or of smaller ones, on a device of
  /// so many threads.
  static Index most_rows_per_block(const Sequences& sequences, const AttentionShape& shape,
                                   const ForwardWidths& widths, Index most_rows, int threads) {
    ForwardPlan plan(sequences, shape, widths, most_rows, 1, 1);
    if (shape.key_heads == 0) return 1;
    const Index total_rows = plan.key_heads_ * plan.sum([&](Index s) { return plan.rows(s); });
    return plan.rows_for(threads > 1 ? kFewestItems * threads : 1, total_rows, most_rows);
  }

  /// How many numbers `order` needs.
  Index order_size() const { return sequences_.alike() ? 0 : 2 * sequences_.count; }

  /// Makes items ready, the largest first: what is handed out last should be small.
  void order(Index* memory) {
    if (sequences_.alike()) return;
    order_ = memory;
    ends_ = memory + sequences_.count;
    for (Index s = 0; s < sequences_.count; ++s) order_[s] = s;
    heap_sort(order_, order_ + sequences_.count, [&](Index a, Index b) {
      const Index a_keys = sequences_(a).keys;
      const Index b_keys = sequences_(b).keys;
      return a_keys != b_keys ? a_keys > b_keys : a < b;
    });
    Index end = 0;
    for (Index i = 0; i < sequences_.count; ++i) ends_[i] = end += blocks(order_[i]);
  }

  /// One item, after `order`.
  ForwardItem item(Index number) const {
    const Index block = number / key_heads_;
    const auto [s, from_last] = place_of(block);
    const Sequence sequence = sequences_(s);
    const Index rows = sequence.queries * group_;
    const Index blocks = blocks_for(rows);
    // As many rows in each but for rounding.
    const Index even = blocks == 1 ? rows : (rows + blocks - 1) / blocks;
    const Index size = std::min((even + kRowGroup - 1) / kRowGroup * kRowGroup, rows_per_block_);
    // Within a sequence the last rows come first: under a causal mask they are the most work.
    const Index begin = (blocks - 1 - from_last) * size;
    return {sequence, number % key_heads_, begin, std::min(begin + size, rows)};
  }

 private:
  /// Below this many operations, a thread takes longer to wake than to work.
  static constexpr double kWorthAThread = 2e6;
  static constexpr Index kFewestItems = 4;  ///< a worker

  /// f of every sequence, added up.
  template <class F>
  std::invoke_result_t<const F&, Index> sum(const F& f) const {
    using Sum = std::invoke_result_t<const F&, Index>;
    if (sequences_.count == 0) return Sum(0);
    if (sequences_.alike()) return static_cast<Sum>(sequences_.count) * f(0);
    Sum total = 0;
    for (Index s = 0; s < sequences_.count; ++s) total += f(s);
    return total;
  }

  /// Rows for a block if there shall be so many items: whole tiles, at least two of them. Rises with
  /// total_rows.
  Index rows_for(Index items, Index total_rows, Index most_rows) const {
    const Index longest = sequences_.alike() ? rows(0) : total_rows / key_heads_;
    const Index tiles = std::max<Index>((total_rows / items + kTileRows - 1) / kTileRows, 2);
    return std::min({std::max<Index>(longest, 1), most_rows, tiles * kTileRows});
  }
  void cut(Index rows) {
    rows_per_block_ = rows;
    blocks_ = sum([&](Index s) { return blocks(s); });
  }

  Index rows(Index s) const { return sequences_(s).queries * group_; }
  /// As many blocks as needed.
  Index blocks_for(Index rows) const {
    if (rows <= rows_per_block_) return rows > 0 ? 1 : 0;
    return (rows + rows_per_block_ - 1) / rows_per_block_;
  }
  Index blocks(Index s) const { return blocks_for(rows(s)); }

  /// The sequence of a block, and how many of the sequence's blocks come before it.
  std::pair<Index, Index> place_of(Index block) const {
    if (sequences_.alike()) {
      const Index each = blocks(0);
      return {block / each, block % each};
    }
    const Index* end = std::upper_bound(ends_, ends_ + sequences_.count, block);
    const Index s = order_[end - ends_];
    return {s, block - (*end - blocks(s))};
  }

  const Sequences& sequences_;
  Index key_heads_;
  Index group_ = 0;
  Index rows_per_block_ = 1;
  Index blocks_ = 0;
  int workers_ = 1;
  Index* order_ = nullptr;  ///< sequences of different lengths, the longest first
  Index* ends_ = nullptr;   ///< blocks up to and with each of them
};

}  // namespace coca::inline v0::detail
