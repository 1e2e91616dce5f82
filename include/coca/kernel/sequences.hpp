#pragma once

#include <algorithm>
#include <limits>
#include <optional>

#include "coca/core/scalar.hpp"
#include "coca/core/sequence_starts.hpp"
#include "coca/kernel/options.hpp"
#include "coca/kernel/panels.hpp"
#include "coca/scheme/scheme.hpp"

/// The sequences of a call: how its tensors hold them.
namespace coca::inline v0::detail {

/// Where the tokens of one sequence lie.
struct Sequence {
  Index index = 0;        ///< which one; what a mask or a scheme is told as the batch entry
  Index batch = 0;        ///< its batch entry in the tensors
  Index first_query = 0;  ///< places of its first tokens there
  Index first_key = 0;
  Index queries = 0;  ///< how many tokens
  Index keys = 0;
  Position query_offset = 0;              ///< position of its first query
  const PanelSequence* cached = nullptr;  ///< its keys and values, if they are in a cache
};

/// All of them: one for each batch entry, or packed one behind the other in a single entry. Keys are
/// held alike, or in a cache.
struct Sequences {
  Index count = 0;
  Index queries = 0;  ///< of each, where they are not packed
  Index keys = 0;
  std::optional<Position> first_query = std::nullopt;  ///< as in AttentionOptions, of each
  Position first_key = 0;
  const SequenceStarts* query_starts = nullptr;  ///< null, where they are not packed
  const SequenceStarts* key_starts = nullptr;
  const PanelSequence* cached = nullptr;  ///< those of a cache; null, where there is none ...
  const Index* ids = nullptr;             ///< ... and which of them each is
  /// Of sequences in a cache, those with fewer or more queries count as having none: another kernel
  /// serves them.
  Index fewest_queries = 0;
  Index most_queries = std::numeric_limits<Index>::max();

  bool packed() const { return query_starts != nullptr; }
  /// Whether they are all of the same lengths.
  bool alike() const { return query_starts == nullptr && cached == nullptr; }

  Sequence operator()(Index s) const {
    if (alike()) return {s, s, 0, 0, queries, keys, query_offset(queries, keys)};
    const Index query = packed() ? (*query_starts)[s] : 0;
    Index own_queries = packed() ? (*query_starts)[s + 1] - query : queries;
    if (cached != nullptr) {
      own_queries = counted(own_queries);
      const PanelSequence& own = cached[ids[s]];
      const Position offset = query_offset(own_queries, own.tokens());
      return {s, packed() ? 0 : s, query, 0, own_queries, own.tokens(), offset, &own};
    }
    const Index key = (*key_starts)[s];
    const Index own_keys = (*key_starts)[s + 1] - key;
    return {s, 0, query, key, own_queries, own_keys, query_offset(own_queries, own_keys)};
  }

  /// The queries of the one that has most of them.
  Index longest_queries() const {
    if (!packed()) return counted(queries);
    Index longest = 0;
    for (Index s = 0; s < count; ++s) longest = std::max(longest, (*this)(s).queries);
    return longest;
  }
  Index longest_keys() const {
    if (alike()) return keys;
    Index longest = 0;
    for (Index s = 0; s < count; ++s) longest = std::max(longest, (*this)(s).keys);
    return longest;
  }

 private:
  Index counted(Index own_queries) const {
    return own_queries < fewest_queries || own_queries > most_queries ? 0 : own_queries;
  }
  Position query_offset(Index own_queries, Index own_keys) const {
    return first_query.value_or(first_key + own_keys - own_queries);
  }
};

/// One for each batch entry of tensors.
inline Sequences whole_sequences(const AttentionShape& shape, const AttentionOptions& options) {
  return {.count = shape.batch,
          .queries = shape.queries,
          .keys = shape.keys,
          .first_query = options.first_query,
          .first_key = options.first_key};
}

}  // namespace coca::inline v0::detail
