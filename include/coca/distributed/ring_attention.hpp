#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <type_traits>

#include "coca/attention.hpp"
#include "coca/core/view.hpp"
#include "coca/core/workspace.hpp"
#include "coca/distributed/communicator.hpp"
#include "coca/distributed/shard_call.hpp"
#include "coca/distributed/shards.hpp"
#include "coca/distributed/transfers.hpp"
#include "coca/kernel/merge.hpp"
#include "coca/mask/full.hpp"
#include "coca/mask/mask.hpp"

/// Attention over a sequence that is spread over ranks: keys and values travel.
namespace coca::inline v0 {

namespace detail {

/// Some queries of one rank and some keys of another: ranges of positions, and where in the tensors
/// of those ranks they begin.
struct ShardPair {
  distributed::TokenRange queries;
  Index query_place;
  distributed::TokenRange keys;
  Index key_place;
};

/// Between calls of attention messages move, so that none of them should take long. With so many
/// queries, each has several work items of the kernel, which would load the keys anew for each of them
/// anyway.
inline constexpr Index kMostShardQueries = 4096;

/// Calls visit(pair) for all queries of a rank, at most so many at a time, and all keys of another (or
/// itself), in order.
template <class Visit>
void for_each_shard_pair(const distributed::Shards& shards, int rank, int owner, Index most_queries,
                         const Visit& visit) {
  Index query_place = 0;
  for (const auto& [query_begin, query_end] : shards.ranges(rank)) {
    for (Index begin = query_begin; begin < query_end; begin += most_queries) {
      const Index end = std::min(begin + most_queries, query_end);
      Index key_place = 0;
      for (const auto& keys : shards.ranges(owner)) {
        if (keys.size() > 0) visit(ShardPair{{begin, end}, query_place, keys, key_place});
        key_place += keys.size();
      }
      query_place += end - begin;
    }
  }
}

/// Whether no query of the pair sees a key.
template <Mask M>
bool sees_nothing(const M& mask, const AttentionShape& shape, const ShardPair& pair) {
  if (shape.query_heads == 0) return true;
  for (Index b = 0; b < shape.batch; ++b) {
    const MaskTile tile{.batch = b,
                        .head_end = shape.query_heads,
                        .query_end = pair.queries.size(),
                        .key_end = pair.keys.size(),
                        .query_offset = pair.queries.begin,
                        .key_offset = pair.keys.begin};
    if (mask.classify(tile) != Coverage::empty) return false;
  }
  return true;
}

template <class K, class V>
struct KeyValueBlock {
  TensorView<K> k;
  TensorView<V> v;

  KeyValueBlock of(Index tokens) const { return {packed(k, tokens), packed(v, tokens)}; }

 private:
  template <class T>
  static TensorView<T> packed(const TensorView<T>& x, Index tokens) {
    return {x.data, {x.shape[0], tokens, x.shape[2], x.shape[3]}};
  }
};

/// A rank's queries, and what they have gathered.
template <Real T, class Q>
struct RingRows {
  TensorView<const Q> q{};
  TensorView<T> out{};
  View<T, 3> lse{};
  TensorView<T> part_out{};  ///< for as many queries as a pair has
  View<T, 3> part_lse{};

  /// The result over the keys of a pair, if they are the first, else added to what there is.
  template <class K, class V, class S, class M, class D>
  void attend(const ShardPair& pair, bool first, const KeyValueBlock<K, V>& block, const S& scheme,
              const M& mask, AttentionOptions options, const D& device) const {
    const Index tokens = pair.queries.size();
    const auto own_q = tokens_of(q, pair.query_place, tokens);
    const auto own_out = tokens_of(out, pair.query_place, tokens);
    const auto own_lse = part_of(lse, 2, pair.query_place, tokens);
    const TensorView<const K> k = tokens_of(block.k, pair.key_place, pair.keys.size());
    const TensorView<const V> v = tokens_of(block.v, pair.key_place, pair.keys.size());
    options.first_query = pair.queries.begin;
    options.first_key = pair.keys.begin;
    options.checked = false;
    if (first) {
      options.lse = own_lse;
      attention(own_out, own_q, k, v, scheme, mask, options, device);
      return;
    }
    const auto more_out = tokens_of(part_out, 0, tokens);
    const auto more_lse = part_of(part_lse, 2, 0, tokens);
    options.sinks = {};
    options.lse = more_lse;
    attention(more_out, own_q, k, v, scheme, mask, options, device);
    merge(own_out, own_lse, TensorView<const T>(more_out), View<const T, 3>(more_lse), device);
  }
};

template <Real T, class Out, class Q, class K, class V, class S, class M, class D>
distributed::Traffic run_ring(const TensorView<Out>& out, const TensorView<const Q>& q,
                              const TensorView<const K>& k, const TensorView<const V>& v,
                              const distributed::Shards& shards,
                              const distributed::Communicator& ranks, const S& scheme,
                              const M& mask, const AttentionOptions& options, const D& device,
                              Index most_queries = kMostShardQueries) {
  const AttentionShape shape = check_shard<T>({out, q, k, v}, shards, ranks, scheme, options);
  Index part_queries = 0;
  for (int owner = 0; owner < ranks.size(); ++owner) {
    for_each_shard_pair(shards, ranks.rank(), owner, most_queries, [&](const ShardPair& pair) {
      AttentionShape own = shape;
      own.queries = pair.queries.size();
      own.keys = pair.keys.size();
      mask.check(own);
      part_queries = std::max(part_queries, own.queries);
    });
  }
  check_workspace(options, workspace_bytes(q, k, v, scheme, device));

  const Index most = shards.most_tokens();
  std::array<KeyValueBlock<K, V>, 2> blocks;
  RingRows<T, Q> rows{.q = q};
  constexpr bool in_place = std::is_same_v<T, Out>;
  const auto lay_out = [&](Carver carver) {
    const auto tensor = [&]<class E>(TensorView<E>& x, const std::array<Index, 4>& extents) {
      x = TensorView<E>(nullptr, extents);
      x.data = carver.take<E>(x.size());
    };
    for (auto& block : blocks) {
      tensor(block.k, {shape.batch, most, shape.key_heads, k.shape[3]});
      tensor(block.v, {shape.batch, most, shape.key_heads, shape.value_dim});
    }
    rows.lse = {nullptr, {shape.batch, shape.query_heads, shape.queries}};
    rows.lse.data = carver.take<T>(rows.lse.size());
    rows.part_lse = {nullptr, {shape.batch, shape.query_heads, part_queries}};
    rows.part_lse.data = carver.take<T>(rows.part_lse.size());
    tensor(rows.part_out, {shape.batch, part_queries, shape.query_heads, shape.value_dim});
    if constexpr (in_place) {
      rows.out = out;
    } else {
      tensor(rows.out, out.shape);
    }
    return carver.bytes();
  };
  lay_out(Carver(rank_arena().reserve(lay_out(Carver()))));

  distributed::Traffic traffic;
  KeyValueBlock<K, V> here = blocks[0].of(shape.keys);
  copy_elements(k, here.k);
  copy_elements(v, here.v);
  for (int step = 0; step < ranks.size(); ++step) {
    const int owner = ranks.next(-step);
    // What is there goes on to the next rank and what that of the last step had comes, meanwhile.
    Transfers transfers(ranks, traffic);
    KeyValueBlock<K, V> coming;
    if (step + 1 < ranks.size()) {
      coming =
          blocks[static_cast<std::size_t>(step + 1) % 2].of(shards.tokens(ranks.next(-step - 1)));
      transfers.receive(coming.k.data, coming.k.size(), ranks.next(-1));
      transfers.receive(coming.v.data, coming.v.size(), ranks.next(-1));
      transfers.send(here.k.data, here.k.size(), ranks.next());
      transfers.send(here.v.data, here.v.size(), ranks.next());
    }
    for_each_shard_pair(shards, ranks.rank(), owner, most_queries, [&](const ShardPair& pair) {
      const bool first = step == 0 && pair.key_place == 0;
      if (!first && sees_nothing(mask, shape, pair)) return;
      rows.attend(pair, first, here, scheme, mask, options, device);
      transfers.progress();
    });
    transfers.wait();
    here = coming;
  }
  if constexpr (!in_place) copy_elements(TensorView<const T>(rows.out), out);
  store_lse<T>(rows.lse, options);
  return traffic;
}

}  // namespace detail

namespace distributed {

/// coca::attention over a sequence of which every rank has some tokens: ring attention (Liu et al. 2023,
/// arXiv 2310.01889). Queries stay; keys and values travel from rank to rank around the ring, while
/// each rank attends to those it has just then, and adds up by their log-sum-exps (coca::merge):
///     out_r = merge over s = 0 .. R - 1 of attention(q_r, k_(r-s), v_(r-s)).
/// Collective. Tensors are as for coca::attention, and hold this rank's tokens alone:
///
/// - out [batch, shards.tokens(rank), heads, value_dim]
/// - q   [batch, shards.tokens(rank), heads, head_dim]
/// - k   [batch, shards.tokens(rank), key heads, scheme.key_dim(head_dim)]
/// - v   [batch, shards.tokens(rank), key heads, value_dim]
///
/// Positions are those of the shards, so that scheme and mask are those of the whole sequence: any
/// scheme, and any mask that goes by positions. Pairs of chunks that a mask hides cost nothing; of a
/// causal one, Shards::zig_zag gives all ranks the same work in every step.
///
/// A rank sends the keys and values of R - 1 ranks, each as wide as its key operand and value are: with
/// the CoCA schemes' t and value_dim = head_dim, 3/4 of the bytes of standard attention. Sums are kept
/// in float, or double for double, whatever the type of `out`.
///
/// Parts are merged in the order of the ring, from a rank's own keys backwards, which is the order in
/// which they come, whenever they come: the same bits from call to call, for any number of threads and
/// any timing of messages, for one number of ranks. Another number of ranks differs by rounding.
///
/// Options are as for coca::attention, but positions, which follow from the shards: sinks are counted
/// once, lse is [batch, heads, shards.tokens(rank)], workspace of what workspace_bytes says for q, k
/// and v. Memory for two blocks of keys and values and for 4096 rows is kept by the calling thread.
///
/// Returns what this rank sent. Throws std::invalid_argument, as coca::attention does and for tensors
/// that do not fit the shards or shards that do not fit the communicator, before anything is written or
/// sent; std::runtime_error for errors of MPI (see Communicator).
template <class Out, class Q, class K, class V, class S, class M = Full,
          class D = Eigen::DefaultDevice>
Traffic ring_attention(Out&& out, const Q& q, const K& k, const V& v, const Shards& shards,
                       const Communicator& ranks, const S& scheme, const M& mask = {},
                       const AttentionOptions& options = {}, const D& device = {}) {
  if constexpr (detail::checked_types<Out, const Q, const K, const V, S, M, D>()) {
    return detail::run_ring<Accumulator<ElementOf<Q>>, ElementOf<Out>, ElementOf<Q>, ElementOf<K>,
                            ElementOf<V>>(tensor_view(out), tensor_view(q), tensor_view(k),
                                          tensor_view(v), shards, ranks, scheme, mask, options,
                                          device);
  } else {
    return {};
  }
}

}  // namespace distributed

}  // namespace coca::inline v0
