#pragma once

#include <cstddef>
#include <span>

#include "coca/decode.hpp"
#include "coca/packed_attention.hpp"

/// The front door for keys and values in a cache, and sequences with different numbers of new tokens.
namespace coca::inline v0 {

namespace detail {

inline Sequences packed_cached_sequences(const PanelSequence* stored,
                                         std::span<const SequenceId> ids,
                                         const SequenceStarts& query_starts) {
  return {.count = static_cast<Index>(ids.size()),
          .query_starts = &query_starts,
          .cached = stored,
          .ids = ids.data()};
}

/// The sizes of a call: that queries fit their starts and the cache.
COCA_FUNCTION AttentionShape check_packed_cached(const AnyInput& q, const PanelLayout& layout,
                                                 const Sequences& sequences);

template <Real T, class Types = AnyElements, class S, class M>
void run_packed_decode(const AnyOutput& out, const AnyInput& q, const PanelLayout& layout,
                       const Sequences& sequences, const S& scheme, const M& mask,
                       const AttentionOptions& options, const AnyDevice& device) {
  check_extents("out", out);
  check_view("q", q);
  const AttentionShape shape = check_packed_cached(q, layout, sequences);
  const AttentionShape longest = longest_shape(sequences, shape);
  const Index score_dim = check_scheme<T>(scheme, layout.key_dim, longest, "cache.key_dim");
  check_packed_options(options);
  run_cached<T, Types>(out, q, layout, sequences, shape, longest, scheme, score_dim, mask, options,
                       device);
}

}  // namespace detail

/// coca::decode of several sequences with different numbers of new tokens, packed one behind the other:
/// in one call, sequences that generate, that check a guess, and that read a chunk of their prompt.
///
/// - out [all queries, heads, value_dim]
/// - q   [all queries, heads, head_dim]
/// - query_starts: where the queries of each sequence begin, and behind them all queries: 0, n_0,
///   n_0 + n_1, ...; a sequence may have none
/// - cache: a GrowingCache, PagedCache or RollingCache, with as many key heads or a divisor of it
/// - sequences: which of the cache's, of any lengths
///
/// Token n of a sequence stands at position n, and its last query where its last token does. A mask and a
/// scheme are told the number of the sequence in the call as the batch entry; options.lse is
/// [1, heads, all queries]. Each sequence's result is, bit for bit, that of coca::decode for it alone.
///
/// Throws std::invalid_argument as coca::decode does, and for starts that do not rise from 0 to the
/// number of queries, one more than there are sequences; for options.first_query and first_key.
template <PackedLike Out, PackedLike Q, KeyValueCache Cache, class S, class M = Causal,
          class D = Eigen::DefaultDevice>
void packed_decode(Out&& out, const Q& q, const SequenceStarts& query_starts, const Cache& cache,
                   std::span<const SequenceId> sequences, const S& scheme, const M& mask = {},
                   const AttentionOptions& options = {}, const D& device = {}) {
  using namespace detail;
  using Queries = decltype(packed_view(q));
  if constexpr (checked_types<decltype(packed_view(out)), Queries, Queries, Queries, S, M, D>()) {
    cache.check_sequences(sequences);
    run_packed_decode<Accumulator<ElementOf<Queries>>,
                      Elements<ElementOf<decltype(packed_view(out))>, ElementOf<Queries>>>(
        packed_view(out), packed_view(q), cache.layout(),
        packed_cached_sequences(cache.sequences(), sequences, query_starts), scheme, mask, options,
        device);
  }
}

/// Bytes of work memory that suffice for such a call: see decode_workspace_bytes.
template <PackedLike Q, KeyValueCache Cache, class S, class D = Eigen::DefaultDevice>
std::size_t packed_decode_workspace_bytes(const Q& q, const SequenceStarts& query_starts,
                                          const Cache& cache, std::span<const SequenceId> sequences,
                                          const S& scheme, const D& device = {}) {
  using namespace detail;
  using T = Accumulator<ElementOf<decltype(packed_view(q))>>;
  cache.check_sequences(sequences);
  const Sequences all = packed_cached_sequences(cache.sequences(), sequences, query_starts);
  const AttentionShape shape = check_packed_cached(packed_view(q), cache.layout(), all);
  const Index score_dim =
      check_scheme<T>(scheme, cache.layout().key_dim, longest_shape(all, shape), "cache.key_dim");
  return cached_bytes<T>(all, shape, score_dim, cache.layout().key_dim, device);
}

}  // namespace coca::inline v0

#ifndef COCA_COMPILED
#include "coca/packed_decode-inl.hpp"
#endif
