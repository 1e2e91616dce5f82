#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <string>

#include "coca/core/view.hpp"
#include "coca/core/workspace.hpp"
#include "coca/decode.hpp"
#include "coca/distributed/communicator.hpp"
#include "coca/distributed/shard_call.hpp"
#include "coca/distributed/transfers.hpp"
#include "coca/kernel/merge.hpp"
#include "coca/mask/causal.hpp"

/// Decoding from a cache that is spread over ranks by tokens.
namespace coca::inline v0 {

namespace distributed {

/// Neighbouring tokens of one sequence, which are a sequence of their own in the cache of a rank.
struct CachedRun {
  Index entry = 0;          ///< whose tokens they are: a batch entry of the queries
  SequenceId sequence = 0;  ///< their name in this rank's cache
  Position first_key = 0;   ///< position of the first of them
};

}  // namespace distributed

namespace detail {

/// Outputs and log-sum-exps over some keys, in one piece of memory: one message.
template <Real T>
struct PartialResult {
  TensorView<T> out;
  View<T, 3> lse;

  static Index size(const AttentionShape& shape) {
    return shape.batch * shape.queries * shape.query_heads * (shape.value_dim + 1);
  }
  PartialResult(T* memory, const AttentionShape& shape)
      : out(memory, {shape.batch, shape.queries, shape.query_heads, shape.value_dim}),
        lse(memory + out.size(), {shape.batch, shape.query_heads, shape.queries}) {}

  T* data() const { return out.data; }
  Index size() const { return out.size() + lse.size(); }

  PartialResult entry(Index b) const {
    PartialResult one = *this;
    one.out = part_of(out, 0, b, 1);
    one.lse = part_of(lse, 0, b, 1);
    return one;
  }
  template <class D>
  void add(const PartialResult& more, const D& device) const {
    merge(out, lse, TensorView<const T>(more.out), View<const T, 3>(more.lse), device);
  }
};

/// Merges what all ranks have, into what each has: up a binomial tree, whose nodes merge neighbours,
///     ((0, 1), (2, 3)), ((4, 5), 6), ...
/// and down again. A tree of our own, as the order of MPI_Allreduce is the implementation's choice.
template <Real T, class D>
distributed::Traffic merge_ranks(const PartialResult<T>& own, const PartialResult<T>& other,
                                 const distributed::Communicator& ranks, const D& device) {
  distributed::Traffic traffic;
  Transfers transfers(ranks, traffic);
  const int rank = ranks.rank();
  int width = 1;  // this rank has merged so many, itself the first of them
  for (; width < ranks.size() && rank % (2 * width) == 0; width *= 2) {
    if (rank + width >= ranks.size()) continue;
    transfers.receive(other.data(), other.size(), rank + width);
    transfers.wait();
    own.add(other, device);
  }
  if (rank > 0) {
    transfers.send(own.data(), own.size(), rank - width);
    transfers.wait();
    transfers.receive(own.data(), own.size(), rank - width);
    transfers.wait();
  }
  for (width /= 2; width > 0; width /= 2) {
    if (rank + width < ranks.size()) transfers.send(own.data(), own.size(), rank + width);
  }
  transfers.wait();
  return traffic;
}

template <Real T, class Out, class Q, class Cache, class S, class M, class D>
distributed::Traffic run_rank_decode(const TensorView<Out>& out, const TensorView<const Q>& q,
                                     const Cache& cache,
                                     std::span<const distributed::CachedRun> runs,
                                     std::span<const Position> first_queries,
                                     const distributed::Communicator& ranks, const S& scheme,
                                     const M& mask, const AttentionOptions& options,
                                     const D& device) {
  check_view("q", q);
  const Sequences entries{.count = q.shape[0], .queries = q.shape[1]};
  const AttentionShape shape = check_cached(q, cache.layout(), entries);
  check_scheme<T>(scheme, cache.layout().key_dim, shape, "cache.key_dim");
  const Tensors tensors{out, q, cached_operand(q, cache.layout(), entries, cache.layout().key_dim),
                        cached_operand(q, cache.layout(), entries, cache.layout().value_dim)};
  check_result(tensors, shape);
  check_options(options, shape, tensors);
  check_places_follow(options, "runs and first_queries");
  require_equal("first_queries.size()", static_cast<Index>(first_queries.size()), shape.batch,
                "batch entries of q");
  AttentionShape one = shape;
  one.batch = 1;
  mask.check(one);
  scheme.check(one);
  for (const auto& run : runs) {
    cache.check_sequences({&run.sequence, 1});
    if (run.entry >= 0 && run.entry < shape.batch) continue;
    reject("runs.entry", std::to_string(run.entry),
           "from 0 to " + std::to_string(shape.batch - 1) + ", as q has batch entries");
  }

  Carver measure;
  const auto take = [&](Carver& carver, const AttentionShape& sizes) {
    return carver.take<T>(PartialResult<T>::size(sizes));
  };
  take(measure, shape);
  take(measure, shape);
  take(measure, one);
  Carver carver(rank_arena().reserve(measure.bytes()));
  const PartialResult<T> own(take(carver, shape), shape);
  const PartialResult<T> other(take(carver, shape), shape);
  const PartialResult<T> part(take(carver, one), one);

  // Nothing seen yet, but that the first rank counts the sinks.
  std::fill_n(own.out.data, own.out.size(), T(0));
  std::fill_n(own.lse.data, own.lse.size(), kMinusInfinity<T>);
  if (options.sinks && ranks.rank() == 0) {
    for (Index b = 0; b < shape.batch; ++b) {
      for (Index h = 0; h < shape.query_heads; ++h) {
        std::fill_n(&own.lse(b, h, 0), shape.queries, static_cast<T>(options.sinks(h)));
      }
    }
  }

  AttentionOptions asked = options;
  asked.sinks = {};
  asked.lse = part.lse;
  for (const auto& run : runs) {
    asked.first_query = first_queries[static_cast<std::size_t>(run.entry)];
    asked.first_key = run.first_key;
    decode(part.out, part_of(q, 0, run.entry, 1), cache, std::span(&run.sequence, 1), scheme, mask,
           asked, device);
    own.entry(run.entry).add(part, device);
  }
  const distributed::Traffic traffic = merge_ranks(own, other, ranks, device);
  copy_elements(TensorView<const T>(own.out), out);
  store_lse<T>(own.lse, options);
  return traffic;
}

}  // namespace detail

namespace distributed {

/// coca::decode from a cache of which every rank has some tokens: each attends to its own, and what
/// they find is merged by its log-sum-exp, in the order of the ranks. Collective.
///
/// - out [entries, queries, heads, value_dim], q [entries, queries, heads, head_dim]: the same q on
///   all ranks, and the same `out`, to the bit
/// - cache: this rank's; runs: what it has of the sequences, in runs of neighbouring tokens, each a
///   sequence in the cache; any number, none included
/// - first_queries: for each entry, the position of its first query; the same on all ranks
///
/// Where a token is does not matter for the result, up to rounding. After ring_attention with
/// Shards::zig_zag, a rank has two runs a sequence. New tokens go to one rank at a time, best some
/// thousand tokens to each in turn, a new run every time, and all ranks remain equally full.
///
/// Options are as for coca::decode, but positions, which follow from runs and first_queries; a mask or
/// a scheme is told batch entry 0. Sums are kept in float, or double for double. Each rank sends at most
/// 1 + log2 R times (value_dim + 1) numbers of that type for each query and head; keys and values stay.
/// The same bits from call to call, for any number of threads, for the same runs on as many ranks.
///
/// Returns what this rank sent. Throws std::invalid_argument as coca::decode does, and for runs and
/// first_queries that do not fit q, before anything is written or sent; std::runtime_error for errors
/// of MPI (see Communicator).
template <class Out, class Q, KeyValueCache Cache, class S, class M = Causal,
          class D = Eigen::DefaultDevice>
Traffic decode(Out&& out, const Q& q, const Cache& cache, std::span<const CachedRun> runs,
               std::span<const Position> first_queries, const Communicator& ranks, const S& scheme,
               const M& mask = {}, const AttentionOptions& options = {}, const D& device = {}) {
  if constexpr (detail::checked_types<Out, const Q, const Q, const Q, S, M, D>()) {
    return detail::run_rank_decode<Accumulator<ElementOf<Q>>, ElementOf<Out>, ElementOf<Q>>(
        tensor_view(out), tensor_view(q), cache, runs, first_queries, ranks, scheme, mask, options,
        device);
  } else {
    return {};
  }
}

}  // namespace distributed

}  // namespace coca::inline v0
