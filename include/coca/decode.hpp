#pragma once

#include <span>
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
COCA_FUNCTION AnyInput cached_operand(const AnyInput& q, const PanelLayout& layout,
                                      const Sequences& sequences, Index dim);
COCA_FUNCTION void check_cached_queries(const AnyInput& q, const PanelLayout& layout,
                                        std::string_view heads_name);
/// The sizes of a call: that queries fit the cache.
COCA_FUNCTION AttentionShape check_cached(const AnyInput& q, const PanelLayout& layout,
                                          const Sequences& sequences);
COCA_FUNCTION void check_cached_options(const AttentionOptions& options);
COCA_FUNCTION Sequences cached_sequences(const PanelSequence* sequences,
                                         std::span<const SequenceId> ids, Index queries,
                                         const AttentionOptions& options);

/// A call whose queries, sequences and scheme fit together; `longest` is what the mask is asked about.
template <Real T, class Types, class S, class M>
void run_cached(const AnyOutput& out, const AnyInput& q, const PanelLayout& layout,
                const Sequences& sequences, const AttentionShape& shape,
                const AttentionShape& longest, const S& scheme, Index score_dim, const M& mask,
                const AttentionOptions& options, const AnyDevice& device) {
  const Tensors tensors{out, q, cached_operand(q, layout, sequences, layout.key_dim),
                        cached_operand(q, layout, sequences, layout.value_dim)};
  check_result(tensors, shape, sequences.packed());
  check_cached_options(options);
  check_options(options, shape, tensors);
  mask.check(longest);
  decode_call(ForwardCall<T>{{tensors.q, tensors.k, tensors.v, AnyScheme<T>::of(scheme),
                              AnyMask<T>::of(mask), shape, score_dim, sequences,
                              static_cast<T>(score_scale(options, shape)),
                              static_cast<T>(options.soft_cap), options, narrow_engine_for<Types>(),
                              bfloat16_functions_for<Types, T>(), &layout},
                             tensors.out},
              device);
}

template <Real T, class Types = AnyElements, class S, class M>
void run_decode(const AnyOutput& out, const AnyInput& q, const PanelLayout& layout,
                const PanelSequence* stored, std::span<const SequenceId> ids, const S& scheme,
                const M& mask, const AttentionOptions& options, const AnyDevice& device) {
  check_view("q", q);
  const Sequences sequences = cached_sequences(stored, ids, q.shape[1], options);
  const AttentionShape shape = check_cached(q, layout, sequences);
  const Index score_dim = check_scheme<T>(scheme, layout.key_dim, shape, "cache.key_dim");
  run_cached<T, Types>(out, q, layout, sequences, shape, shape, scheme, score_dim, mask, options,
                       device);
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
    detail::run_decode<Accumulator<ElementOf<Q>>, detail::Elements<ElementOf<Out>, ElementOf<Q>>>(
        tensor_view(out), tensor_view(q), cache.layout(), cache.sequences(), sequences, scheme,
        mask, options, device);
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
  const AttentionShape shape = check_cached(queries, cache.layout(), all);
  const Index score_dim = check_scheme<T>(scheme, cache.layout().key_dim, shape, "cache.key_dim");
  return cached_bytes<T>(all, shape, score_dim, cache.layout().key_dim, device);
}

}  // namespace coca::inline v0

#ifndef COCA_COMPILED
#include "coca/decode-inl.hpp"
#endif
