#pragma once

#include <string>

#include "coca/core/error.hpp"
#include "coca/decode.hpp"

namespace coca::inline v0::detail {

COCA_FUNCTION AnyInput cached_operand(const AnyInput& q, const PanelLayout& layout,
                                      const Sequences& sequences, Index dim) {
  return {nullptr, layout.type, {q.shape[0], sequences.longest_keys(), layout.heads, dim}, {}};
}

COCA_FUNCTION void check_cached_queries(const AnyInput& q, const PanelLayout& layout,
                                        std::string_view heads_name) {
  check_precision(layout, "q", q.type);
  if (q.shape[2] % layout.heads == 0) return;
  reject(heads_name, std::to_string(q.shape[2]),
         "a multiple of the cache's " + std::to_string(layout.heads));
}

COCA_FUNCTION AttentionShape check_cached(const AnyInput& q, const PanelLayout& layout,
                                          const Sequences& sequences) {
  require_equal("q.shape[0] (batch)", q.shape[0], sequences.count, "one entry for each sequence");
  check_cached_queries(q, layout, "q.shape[2] (heads)");
  return check_inputs(q, cached_operand(q, layout, sequences, layout.key_dim),
                      cached_operand(q, layout, sequences, layout.value_dim));
}

COCA_FUNCTION void check_cached_options(const AttentionOptions& options) {
  if (options.query_ids.data != nullptr || options.key_ids.data != nullptr) {
    reject("options.query_ids or key_ids", "given", "none: a cache holds neighbours");
  }
}

COCA_FUNCTION Sequences cached_sequences(const PanelSequence* sequences,
                                         std::span<const SequenceId> ids, Index queries,
                                         const AttentionOptions& options) {
  return {.count = static_cast<Index>(ids.size()),
          .queries = queries,
          .first_query = options.first_query,
          .first_key = options.first_key,
          .cached = sequences,
          .ids = ids.data()};
}

}  // namespace coca::inline v0::detail
