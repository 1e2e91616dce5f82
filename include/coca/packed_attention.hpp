#pragma once

#include <string_view>

#include "coca/attention.hpp"
#include "coca/core/sequence_starts.hpp"

/// The front door for sequences of different lengths, packed one behind the other.
namespace coca::inline v0 {

namespace detail {

inline constexpr std::string_view kPackedKeyWidth = "k.shape[2] (width of the key operand)";

COCA_FUNCTION void check_starts(std::string_view name, const SequenceStarts& starts, Index tokens);
COCA_FUNCTION void check_sequences(const SequenceStarts& query_starts,
                                   const SequenceStarts& key_starts, const AttentionShape& shape);
COCA_FUNCTION void check_packed_options(const AttentionOptions& options);

inline Sequences packed_sequences(const SequenceStarts& query_starts,
                                  const SequenceStarts& key_starts) {
  return {
      .count = query_starts.size() - 1, .query_starts = &query_starts, .key_starts = &key_starts};
}

/// The sizes a scheme and a mask are checked against: the longest of every kind.
COCA_FUNCTION AttentionShape longest_shape(const Sequences& sequences, AttentionShape shape);

template <Real T, class Types = AnyElements, class S, class M>
void run_packed(const Tensors& tensors, const SequenceStarts& query_starts,
                const SequenceStarts& key_starts, const S& scheme, const M& mask,
                const AttentionOptions& options, const AnyDevice& device) {
  const AttentionShape shape = check_tensors(tensors, true);
  check_sequences(query_starts, key_starts, shape);
  check_packed_options(options);
  const Sequences sequences = packed_sequences(query_starts, key_starts);
  const AttentionShape longest = longest_shape(sequences, shape);
  const Index score_dim = check_scheme<T>(scheme, tensors.k.shape[3], longest, kPackedKeyWidth);
  mask.check(longest);
  run_sequences<T, Types>(tensors, scheme, score_dim, mask, shape, sequences, options, device);
}

}  // namespace detail

/// Attention within each of several sequences of different lengths, in one call and without
/// padding: what coca::attention computes for each of them alone.
///
/// - out [all queries, heads, value_dim]
/// - q   [all queries, heads, head_dim]
/// - k   [all keys, key heads, scheme.key_dim(head_dim)]
/// - v   [all keys, key heads, value_dim]
/// - query_starts, key_starts: where each sequence begins, and behind them all tokens: 0, n_0, n_0 +
///   n_1, ...; the same for both in self-attention
///
/// A mask and a scheme are told the number of the sequence as the batch entry, and places and
/// positions within it: keys from 0 on, the last query where the last key is. A mask tensor is
/// [sequences, heads, longest queries, longest keys]. Position ids are
/// [1, all tokens], options.lse is [1, heads, all queries]. Types, devices, sums, threads and errors
/// are as for coca::attention; work memory grows by 16 bytes a sequence. Throws
/// std::invalid_argument also for starts that do not rise from 0 to the number of tokens, and for
/// options.first_query and first_key.
template <PackedLike Out, PackedLike Q, PackedLike K, PackedLike V, class S, class M = Full,
          class D = Eigen::DefaultDevice>
void packed_attention(Out&& out, const Q& q, const K& k, const V& v,
                      const SequenceStarts& query_starts, const SequenceStarts& key_starts,
                      const S& scheme, const M& mask = {}, const AttentionOptions& options = {},
                      const D& device = {}) {
  using namespace detail;
  if constexpr (checked_types<decltype(packed_view(out)), decltype(packed_view(q)),
                              decltype(packed_view(k)), decltype(packed_view(v)), S, M, D>()) {
    using Types =
        Elements<ElementOf<decltype(packed_view(out))>, ElementOf<decltype(packed_view(q))>,
                 ElementOf<decltype(packed_view(k))>, ElementOf<decltype(packed_view(v))>>;
    run_packed<Accumulator<ElementOf<decltype(packed_view(q))>>, Types>(
        {packed_view(out), packed_view(q), packed_view(k), packed_view(v)}, query_starts,
        key_starts, scheme, mask, options, device);
  }
}

/// Bytes of work memory that suffice for such a call: see workspace_bytes.
template <PackedLike Q, PackedLike K, PackedLike V, class S, class D = Eigen::DefaultDevice>
std::size_t packed_workspace_bytes(const Q& q, const K& k, const V& v,
                                   const SequenceStarts& query_starts,
                                   const SequenceStarts& key_starts, const S& scheme,
                                   const D& device = {}) {
  using T = Accumulator<ElementOf<decltype(detail::packed_view(q))>>;
  const detail::AnyInput keys = detail::packed_view(k);
  const AttentionShape shape =
      detail::check_inputs(detail::packed_view(q), keys, detail::packed_view(v), true);
  detail::check_sequences(query_starts, key_starts, shape);
  const detail::Sequences sequences = detail::packed_sequences(query_starts, key_starts);
  const Index score_dim = detail::check_scheme<T>(
      scheme, keys.shape[3], detail::longest_shape(sequences, shape), detail::kPackedKeyWidth);
  return detail::sequences_bytes<T>(sequences, shape, score_dim, keys.shape[3], device);
}

}  // namespace coca::inline v0

#ifndef COCA_COMPILED
#include "coca/packed_attention-inl.hpp"
#endif
