#pragma once

#include "coca/core/scalar.hpp"
#include "coca/kernel/options.hpp"
#include "coca/kernel/sequences.hpp"
#include "coca/position/token_positions.hpp"
#include "coca/scheme/scheme.hpp"

/// Which query and head each row of a work item is.
namespace coca::inline v0::detail {

/// The rows of one work item: those of one sequence and key head from begin to end, where row r is
/// query r / group, head r % group of the group.
struct ForwardItem {
  Sequence sequence;
  Index key_head;
  Index begin;
  Index end;
};

/// The rows of an item by their number in it.
class ItemRows {
 public:
  ItemRows(const ForwardItem& item, Index group, const AttentionOptions& options)
      : sequence_(item.sequence),
        query_positions_{item.sequence.query_offset, options.query_ids},
        key_positions_{options.first_key, options.key_ids},
        key_head_(item.key_head),
        group_(group),
        row_begin_(item.begin),
        rows_(item.end - item.begin) {}

  const Sequence& sequence() const { return sequence_; }
  Index key_head() const { return key_head_; }
  Index rows() const { return rows_; }
  /// The number of the first row among those of the sequence and key head.
  Index row_begin() const { return row_begin_; }
  /// Which query, and which head, a row is. Short calls would feel the divisions.
  Index query_of(Index row) const {
    return group_ == 1 ? row_begin_ + row : (row_begin_ + row) / group_;
  }
  Index head_of(Index row) const {
    return group_ == 1 ? key_head_ : key_head_ * group_ + (row_begin_ + row) % group_;
  }
  /// The heads of all rows.
  Index first_head() const { return key_head_ * group_; }
  Index last_head() const { return first_head() + group_ - 1; }
  Position query_offset() const { return query_positions_.first; }
  Position key_offset() const { return key_positions_.first; }

  /// A query as a scheme is told of it, and a key.
  Token query_token(Index query, Index head) const {
    const Index place = sequence_.first_query + query;
    return {query_positions_(sequence_.batch, place, query), sequence_.index, query, head};
  }
  Token key_token(Index key) const { return {key_position(key), sequence_.index, key, key_head_}; }
  Position key_position(Index key) const {
    return key_positions_(sequence_.batch, sequence_.first_key + key, key);
  }
  /// A row and a key as a mask is told of them.
  Site site(Index row, Index key) const {
    return {.batch = sequence_.index,
            .head = head_of(row),
            .query_index = query_of(row),
            .key_index = key,
            .query_offset = query_offset(),
            .key_offset = key_offset()};
  }

  /// Calls visit(row, query, head) for all rows, in order.
  template <class Visit>
  [[gnu::always_inline]] void for_each_row(const Visit& visit) const {
    Index query = query_of(0);
    Index head = head_of(0);
    for (Index row = 0; row < rows_; ++row) {
      visit(row, query, head);
      if (head++ < last_head()) continue;
      head = first_head();
      ++query;
    }
  }

 private:
  Sequence sequence_;
  TokenPositions query_positions_;
  TokenPositions key_positions_;
  Index key_head_;
  Index group_;
  Index row_begin_;
  Index rows_;
};

}  // namespace coca::inline v0::detail
