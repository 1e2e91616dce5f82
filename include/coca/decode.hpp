#pragma once

#include <algorithm>
#include <cmath>
#include <span>
#include <string>
#include <string_view>

#include "coca/attention.hpp"
#include "coca/cache/cache_options.hpp"
#include "coca/cache/token_store.hpp"
#include "coca/kernel/decode.hpp"
#include "coca/mask/causal.hpp"

/// The front door for keys and values in a cache.
namespace coca::inline v0 {

/// A GrowingCache, PagedCache or RollingCache.
template <class C>
concept KeyValueCache = requires(const C& cache, std::span<const SequenceId> ids) {
  cache.layout().key_dim;
  cache.sequences()->tokens();
  cache.check_sequences(ids);
};

namespace detail {

/// What stands for the keys, or values, of a cache among tensors: a shape, as long as the longest
/// sequence.
inline AnyInput cached_operand(const AnyInput& q, const PanelLayout& layout,
                               const Sequences& sequences, Index dim) {
  return {nullptr, layout.type, {q.shape[0], sequences.longest_keys(), layout.heads, dim}, {}};
}

inline void check_cached_queries(const AnyInput& q, const PanelLayout& layout,
                                 std::string_view heads_name) {
  check_precision(layout, "q", q.type);
  if (q.shape[2] % layout.heads == 0) return;
  reject(heads_name, std::to_string(q.shape[2]),
         "a multiple of the cache's " + std::to_string(layout.heads));
}

/// The sizes of a call: that queries fit the cache, and both the scheme.
template <Real T, class S>
AttentionShape check_cached(const AnyInput& q, const PanelLayout& layout,
                            const Sequences& sequences, const S& scheme) {
  require_equal("q.shape[0] (batch)", q.shape[0], sequences.count, "one entry for each sequence");
  check_cached_queries(q, layout, "q.shape[2] (heads)");
  const AttentionShape shape = check_inputs(q, cached_operand(q, layout, sequences, layout.key_dim),
                                            cached_operand(q, layout, sequences, layout.value_dim));
  check_scheme<T>(scheme, layout.key_dim, shape, "cache.key_dim");
  return shape;
}

inline void check_cached_options(const AttentionOptions& options) {
  if (options.query_ids.data != nullptr || options.key_ids.data != nullptr) {
    reject("options.query_ids or key_ids", "given", "none: a cache holds neighbours");
  }
}

inline Sequences cached_sequences(const PanelSequence* sequences, std::span<const SequenceId> ids,
                                  Index queries, const AttentionOptions& options) {
  return {.count = static_cast<Index>(ids.size()),
          .queries = queries,
          .first_query = options.first_query,
          .first_key = options.first_key,
          .cached = sequences,
          .ids = ids.data()};
}

/// A call whose queries, sequences and scheme fit together; `longest` is what the mask is asked about.
template <Real T, class S, class M, class D>
void run_cached(const AnyOutput& out, const AnyInput& q, const PanelLayout& layout,
                const Sequences& sequences, const AttentionShape& shape,
                const AttentionShape& longest, const S& scheme, const M& mask,
                const AttentionOptions& options, const D& device) {
  const Tensors tensors{out, q, cached_operand(q, layout, sequences, layout.key_dim),
                        cached_operand(q, layout, sequences, layout.value_dim)};
  check_result(tensors, shape, sequences.packed());
  check_cached_options(options);
  check_options(options, shape, tensors);
  mask.check(longest);
  const double scale =
      options.scale.value_or(1.0 / std::sqrt(static_cast<double>(shape.query_dim)));
  decode_call(ForwardCall<T, S, M>{tensors, scheme, mask, shape, sequences, static_cast<T>(scale),
                                   static_cast<T>(options.soft_cap), options, &layout},
              device);
}

template <Real T, class S, class M, class D>
void run_decode(const AnyOutput& out, const AnyInput& q, const PanelLayout& layout,
                const PanelSequence* stored, std::span<const SequenceId> ids, const S& scheme,
                const M& mask, const AttentionOptions& options, const D& device) {
  check_view("q", q);
  const Sequences sequences = cached_sequences(stored, ids, q.shape[1], options);
  const AttentionShape shape = check_cached<T>(q, layout, sequences, scheme);
  run_cached<T>(out, q, layout, sequences, shape, shape, scheme, mask, options, device);
}

/// Bytes of work memory that suffice for a call.
template <Real T, Device D>
std::size_t cached_bytes(const Sequences& sequences, const AttentionShape& shape, Index score_dim,
                         const PanelLayout& layout, const D& device) {
  const ForwardWidths widths(tile_engine<T>(target()), shape, score_dim, layout.key_dim);
  const Sequences few = few_of(sequences, shape);
  const Sequences many = many_of(sequences, shape);
  return std::max(
      few.longest_queries() == 0
          ? 0
          : DecodeMemory::of<T>(few, shape, widths).bytes(thread_count(device)) + kAlignment - 1,
      many.longest_queries() == 0
          ? 0
          : sequences_bytes<T>(many, shape, score_dim, layout.key_dim, device));
}

}  // namespace detail

/// Attention of new tokens to a cache that holds them already, and those before them:
///     out[i, m, h] = sum_n p_n v_n,   p = softmax over n of mask(cap(scale * score(q[i, m, h], k_n)))
/// over the tokens n of sequence `sequences[i]`, whose last ones are the queries m. One query a
/// sequence is the step of generation; some are the check of a guess (speculative decoding); many are
/// a chunk of a prompt.
///
/// - out [sequences, queries, heads, value_dim]
/// - q   [sequences, queries, heads, head_dim]
/// - cache: a GrowingCache, PagedCache or RollingCache, with as many key heads or a divisor of it
/// - sequences: which of the cache's, of any lengths
///
/// Token n of a sequence in the cache stands at position options.first_key + n, and the last query where
/// the last token does, or the first one at options.first_query: a cache may hold a part of a sequence.
/// Up to 60 query rows for each key head, the keys are read where they are, once for all heads of a
/// group, and divided among threads; beyond, the kernel is that of coca::attention. The result is the
/// same, bit for bit, on any number of threads and for any size of pages, and does not depend on the
/// other sequences. It is that of coca::attention over the same tokens up to rounding.
///
/// Throws std::invalid_argument, naming argument, value and expectation, before anything is written:
/// for shapes that do not fit together, the cache, the scheme or the mask, sequences that are not
/// there, a cache of float64 with queries that are not double or the reverse, and position
/// ids. options.checked does not look into the cache.
template <class Out, class Q, KeyValueCache Cache, class S, class M = Causal,
          class D = Eigen::DefaultDevice>
void decode(Out&& out, const Q& q, const Cache& cache, std::span<const SequenceId> sequences,
            const S& scheme, const M& mask = {}, const AttentionOptions& options = {},
            const D& device = {}) {
  if constexpr (detail::checked_types<Out, const Q, const Q, const Q, S, M, D>()) {
    cache.check_sequences(sequences);
    detail::run_decode<Accumulator<ElementOf<Q>>>(tensor_view(out), tensor_view(q), cache.layout(),
                                                  cache.sequences(), sequences, scheme, mask,
                                                  options, device);
  }
}

/// Bytes of work memory that suffice for a call of decode with these queries, sequences as long as they
/// are now, scheme and device: from options.workspace, or else from the calling thread's store. Up to 60
/// rows a key head, the sums of at most 64 parts of each sequence are in it. Only the shape of q is
/// looked at. Throws std::invalid_argument as decode does.
template <TensorLike Q, KeyValueCache Cache, class S, class D = Eigen::DefaultDevice>
std::size_t decode_workspace_bytes(const Q& q, const Cache& cache,
                                   std::span<const SequenceId> sequences, const S& scheme,
                                   const D& device = {}) {
  using namespace detail;
  using T = Accumulator<ElementOf<Q>>;
  cache.check_sequences(sequences);
  const AnyInput queries = tensor_view(q);
  const Sequences all = cached_sequences(cache.sequences(), sequences, queries.shape[1], {});
  const AttentionShape shape = check_cached<T>(queries, cache.layout(), all, scheme);
  return cached_bytes<T>(all, shape, scheme.score_dim(shape.query_dim), cache.layout(), device);
}

}  // namespace coca::inline v0
