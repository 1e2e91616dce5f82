#pragma once

#include "coca/core/error.hpp"
#include "coca/packed_decode.hpp"

namespace coca::inline v0::detail {

COCA_FUNCTION AttentionShape check_packed_cached(const AnyInput& q, const PanelLayout& layout,
                                                 const Sequences& sequences) {
  const SequenceStarts& starts = *sequences.query_starts;
  check_starts("query_starts", starts, q.shape[1]);
  require_equal("query_starts.size()", starts.size(), sequences.count + 1,
                "one more than there are sequences");
  check_cached_queries(q, layout, "q.shape[1] (heads)");
  return check_inputs(q, cached_operand(q, layout, sequences, layout.key_dim),
                      cached_operand(q, layout, sequences, layout.value_dim), true);
}

}  // namespace coca::inline v0::detail
