#pragma once

#include <string>
#include <string_view>

#include "coca/core/error.hpp"
#include "coca/packed_attention.hpp"

namespace coca::inline v0::detail {

COCA_FUNCTION void check_starts(std::string_view name, const SequenceStarts& starts, Index tokens) {
  if (starts.size() == 0) reject(name, "empty", "0 and more");
  starts.check_aligned(name);
  const auto at = [&](Index i) { return std::string(name) + "[" + std::to_string(i) + "]"; };
  if (starts[0] != 0) reject(at(0), std::to_string(starts[0]), "0");
  for (Index i = 1; i < starts.size(); ++i) {
    if (starts[i] >= starts[i - 1]) continue;
    reject(at(i), std::to_string(starts[i]), std::to_string(starts[i - 1]) + " or more");
  }
  const Index last = starts.size() - 1;
  if (starts[last] != tokens) require_equal(at(last), starts[last], tokens, "tokens");
}

COCA_FUNCTION void check_sequences(const SequenceStarts& query_starts,
                                   const SequenceStarts& key_starts, const AttentionShape& shape) {
  check_starts("query_starts", query_starts, shape.queries);
  check_starts("key_starts", key_starts, shape.keys);
  require_equal("key_starts.size()", key_starts.size(), query_starts.size(),
                "that of query_starts");
}

COCA_FUNCTION void check_packed_options(const AttentionOptions& options) {
  if (options.first_query) {
    reject("options.first_query", "given",
           "none: a packed sequence's last query stands where its last key does");
  }
  if (options.first_key != 0) {
    reject("options.first_key", std::to_string(options.first_key),
           "0: every packed sequence begins there");
  }
}

COCA_FUNCTION AttentionShape longest_shape(const Sequences& sequences, AttentionShape shape) {
  shape.batch = sequences.count;
  shape.queries = sequences.longest_queries();
  shape.keys = sequences.longest_keys();
  return shape;
}

}  // namespace coca::inline v0::detail
