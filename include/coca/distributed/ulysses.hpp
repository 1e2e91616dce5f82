#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <type_traits>

#include "coca/attention.hpp"
#include "coca/core/view.hpp"
#include "coca/core/workspace.hpp"
#include "coca/distributed/communicator.hpp"
#include "coca/distributed/head_share.hpp"
#include "coca/distributed/shard_call.hpp"
#include "coca/distributed/shards.hpp"
#include "coca/distributed/transfers.hpp"
#include "coca/mask/full.hpp"

/// Attention over a sequence that is spread over ranks: every rank attends for some of the heads.
namespace coca::inline v0 {

namespace detail {

/// A tensor whose tokens lie one behind the other, with all batch entries and heads of each: those of
/// a chunk are one message.
template <class T>
TensorView<T> token_major(T* first, Index batch, Index tokens, Index heads, Index width) {
  return {first, {batch, tokens, heads, width}, {heads * width, batch * heads * width, width, 1}};
}
template <class T>
Index token_size(const TensorView<T>& x) {
  return x.shape[0] * x.shape[2] * x.shape[3];
}

/// The two exchanges between tensors [batch, tokens of a rank, all heads, width] and tensors
/// [batch, all tokens, heads of a rank, width].
class HeadExchange {
 public:
  HeadExchange(const distributed::Shards& shards, const distributed::Communicator& ranks,
               Transfers& transfers)
      : shards_(shards), ranks_(ranks), transfers_(transfers) {}

  /// Every rank's heads of this rank's tokens go there; this rank's heads of all tokens come into
  /// `whole`. `memory` holds what is sent, until it is. `share(rank)` is a pair of heads.
  template <class T, class Share>
  void spread(const TensorView<const T>& local, T* memory, const TensorView<T>& whole,
              const Share& share) {
    for (int i = 1; i < ranks_.size(); ++i) {
      const int from = ranks_.next(-i);
      for (const auto& range : shards_.ranges(from)) {
        if (range.size() == 0) continue;
        transfers_.receive(&whole(0, range.begin, 0, 0), range.size() * token_size(whole), from);
      }
    }
    for (int i = 0; i < ranks_.size(); ++i) {
      const int to = ranks_.next(i);
      const auto heads = heads_of(local, share(to).begin, share(to).end);
      if (to == ranks_.rank()) {
        for_each_own_range([&](const distributed::TokenRange& range, Index place) {
          copy_elements(tokens_of(heads, place, range.size()),
                        tokens_of(whole, range.begin, range.size()));
        });
        continue;
      }
      const auto packed =
          token_major(memory, local.shape[0], local.shape[1], heads.shape[2], local.shape[3]);
      memory += packed.size();
      copy_elements(heads, packed);
      for_each_own_range([&](const distributed::TokenRange& range, Index place) {
        transfers_.send(&packed(0, place, 0, 0), range.size() * token_size(packed), to);
      });
    }
  }

  /// This rank's heads of every rank's tokens go there; all heads of this rank's tokens come into
  /// `memory`, from where `unpack` takes them once they are there.
  template <class T, class Share>
  void gather(const TensorView<T>& whole, T* memory, Index local_tokens, const Share& share) {
    for (int i = 1; i < ranks_.size(); ++i) {
      const int from = ranks_.next(-i);
      const auto packed =
          token_major(memory, whole.shape[0], local_tokens, share(from).size(), whole.shape[3]);
      memory += packed.size();
      for_each_own_range([&](const distributed::TokenRange& range, Index place) {
        transfers_.receive(&packed(0, place, 0, 0), range.size() * token_size(packed), from);
      });
    }
    for (int i = 1; i < ranks_.size(); ++i) {
      const int to = ranks_.next(i);
      for (const auto& range : shards_.ranges(to)) {
        if (range.size() == 0) continue;
        transfers_.send(&whole(0, range.begin, 0, 0), range.size() * token_size(whole), to);
      }
    }
  }
  template <class T, class To, class Share>
  void unpack(const TensorView<T>& whole, const T* memory, const TensorView<To>& local,
              const Share& share) const {
    for (int i = 0; i < ranks_.size(); ++i) {
      const int from = ranks_.next(-i);
      const auto heads = heads_of(local, share(from).begin, share(from).end);
      if (from == ranks_.rank()) {
        for_each_own_range([&](const distributed::TokenRange& range, Index place) {
          copy_elements(TensorView<const T>(tokens_of(whole, range.begin, range.size())),
                        tokens_of(heads, place, range.size()));
        });
        continue;
      }
      const auto packed =
          token_major(memory, local.shape[0], local.shape[1], heads.shape[2], local.shape[3]);
      memory += packed.size();
      copy_elements(packed, heads);
    }
  }

 private:
  template <class Visit>
  void for_each_own_range(const Visit& visit) const {
    Index place = 0;
    for (const auto& range : shards_.ranges(ranks_.rank())) {
      if (range.size() > 0) visit(range, place);
      place += range.size();
    }
  }

  const distributed::Shards& shards_;
  const distributed::Communicator& ranks_;
  Transfers& transfers_;
};

template <Real T, class Out, class Q, class K, class V, class S, class M, class D>
distributed::Traffic run_ulysses(const TensorView<Out>& out, const TensorView<const Q>& q,
                                 const TensorView<const K>& k, const TensorView<const V>& v,
                                 const distributed::Shards& shards,
                                 const distributed::Communicator& ranks, const S& scheme,
                                 const M& mask, const AttentionOptions& options, const D& device) {
  const AttentionShape shape = check_shard<T>({out, q, k, v}, shards, ranks, scheme, options);
  const distributed::HeadShares shares(shape.query_heads, shape.key_heads, ranks.size());
  const auto query_share = [&](int rank) { return shares.queries(rank); };
  const auto key_share = [&](int rank) { return shares.keys(rank); };
  const distributed::HeadRange own_queries = query_share(ranks.rank());
  const distributed::HeadRange own_keys = key_share(ranks.rank());
  AttentionShape whole = shape;
  whole.queries = shards.length();
  whole.keys = shards.length();
  whole.query_heads = own_queries.size();
  whole.key_heads = own_keys.size();
  mask.check(whole);

  // Of all tokens, and what is sent to the other ranks or comes from them.
  TensorView<Q> all_q;
  TensorView<K> all_k;
  TensorView<V> all_v;
  TensorView<Out> all_out;
  View<T, 3> all_lse;
  Q* sent_q = nullptr;
  K* sent_k = nullptr;
  V* sent_v = nullptr;
  Out* come_out = nullptr;
  T* come_lse = nullptr;
  const Index own_tokens = shape.batch * shape.queries;
  const auto lay_out = [&](Carver carver) {
    const auto tensor = [&]<class E>(TensorView<E>& x, Index heads, Index width) {
      x = token_major<E>(nullptr, shape.batch, shards.length(), heads, width);
      x.data = carver.take<E>(x.size());
    };
    tensor(all_q, whole.query_heads, shape.query_dim);
    tensor(all_k, whole.key_heads, k.shape[3]);
    tensor(all_v, whole.key_heads, shape.value_dim);
    tensor(all_out, whole.query_heads, shape.value_dim);
    TensorView<T> lse_tensor;
    tensor(lse_tensor, whole.query_heads, 1);
    all_lse = {lse_tensor.data,
               {shape.batch, whole.query_heads, shards.length()},
               {lse_tensor.strides[0], 1, lse_tensor.strides[1]}};
    sent_q = carver.take<Q>(own_tokens * shape.query_heads * shape.query_dim);
    sent_k = carver.take<K>(own_tokens * shares.held_keys() * k.shape[3]);
    sent_v = carver.take<V>(own_tokens * shares.held_keys() * shape.value_dim);
    come_out = carver.take<Out>(own_tokens * shape.query_heads * shape.value_dim);
    come_lse = carver.take<T>(own_tokens * shape.query_heads);
    return carver.bytes();
  };
  const std::size_t bytes = lay_out(Carver());
  check_workspace(options, workspace_bytes(all_q, all_k, all_v, scheme, device));
  lay_out(Carver(rank_arena().reserve(bytes)));

  distributed::Traffic traffic;
  Transfers transfers(ranks, traffic);
  HeadExchange exchange(shards, ranks, transfers);
  exchange.spread(q, sent_q, all_q, query_share);
  exchange.spread(k, sent_k, all_k, key_share);
  exchange.spread(v, sent_v, all_v, key_share);
  transfers.wait();
  AttentionOptions own = options_of_heads(options, own_queries, shape.query_heads);
  const bool wants_lse = static_cast<bool>(options.lse);
  if (wants_lse) own.lse = all_lse;
  own.checked = false;
  attention(all_out, all_q, all_k, all_v, scheme, mask, own, device);
  exchange.gather(all_out, come_out, shape.queries, query_share);
  if (wants_lse) exchange.gather(as_tensor(all_lse), come_lse, shape.queries, query_share);
  transfers.wait();
  exchange.unpack(all_out, come_out, out, query_share);
  options.lse.with_view([&](const auto& lse) {
    exchange.unpack(as_tensor(all_lse), come_lse, as_tensor(lse), query_share);
  });
  return traffic;
}

}  // namespace detail

namespace distributed {

/// coca::attention over a sequence of which every rank has some tokens, by an exchange of heads for
/// tokens (Jacobs et al. 2023, DeepSpeed-Ulysses, arXiv 2309.14509): each rank gets all tokens of the
/// heads HeadShares gives it, attends, and returns to every rank the outputs of its tokens.
/// Collective. Tensors, positions, options and what is thrown are as for ring_attention; the mask and
/// the scheme are told a head's number among those of the rank, so that one that depends on the head
/// (Alibi) is refused. Options.workspace is of what workspace_bytes says for all tokens and the rank's
/// heads. Memory for all that is exchanged is kept by the calling thread.
///
/// Not more ranks than query heads. The result is that of coca::attention over the whole sequence, bit
/// for bit, for any number of ranks that leaves a rank whole groups of heads; and for one number of
/// ranks the same bits from call to call, for any number of threads.
///
/// A rank sends to each other rank that rank's share of the heads of q, k and v for its own tokens, and
/// gets as much of `out` back: with the CoCA schemes' t, a quarter fewer bytes of keys and values; those
/// of q and `out` are the same.
template <class Out, class Q, class K, class V, class S, class M = Full,
          class D = Eigen::DefaultDevice>
Traffic ulysses_attention(Out&& out, const Q& q, const K& k, const V& v, const Shards& shards,
                          const Communicator& ranks, const S& scheme, const M& mask = {},
                          const AttentionOptions& options = {}, const D& device = {}) {
  if constexpr (detail::checked_types<Out, const Q, const K, const V, S, M, D>()) {
    return detail::run_ulysses<Accumulator<ElementOf<Q>>, ElementOf<Out>, ElementOf<Q>,
                               ElementOf<K>, ElementOf<V>>(tensor_view(out), tensor_view(q),
                                                           tensor_view(k), tensor_view(v), shards,
                                                           ranks, scheme, mask, options, device);
  } else {
    return {};
  }
}

}  // namespace distributed

}  // namespace coca::inline v0
