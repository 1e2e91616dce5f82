#pragma once

#include <span>
#include <type_traits>

#include "coca/core/view.hpp"
#include "coca/core/workspace.hpp"
#include "coca/decode.hpp"
#include "coca/distributed/communicator.hpp"
#include "coca/distributed/head_share.hpp"
#include "coca/distributed/shard_call.hpp"
#include "coca/distributed/transfers.hpp"
#include "coca/mask/causal.hpp"

/// Decoding from a cache that is spread over ranks by heads.
namespace coca::inline v0 {

namespace detail {

/// Every rank's heads of `x` come to all ranks.
template <class T>
void share_heads(const TensorView<T>& x, const distributed::HeadShares& shares,
                 const distributed::Communicator& ranks, distributed::Traffic& traffic) {
  T* memory = nullptr;
  const auto lay_out = [&](Carver carver) {
    memory = carver.take<T>(x.size());
    return carver.bytes();
  };
  lay_out(Carver(rank_arena().reserve(lay_out(Carver()))));
  const auto part = [&](int rank) {
    const auto heads = shares.queries(rank);
    return heads_of(x, heads.begin, heads.end);
  };
  const auto packed = [&](int rank) {
    const auto heads = shares.queries(rank);
    const Index before = x.shape[0] * x.shape[1] * heads.begin * x.shape[3];
    return TensorView<T>(memory + before, {x.shape[0], x.shape[1], heads.size(), x.shape[3]});
  };

  const auto own = packed(ranks.rank());
  copy_elements(TensorView<const T>(part(ranks.rank())), own);
  Transfers transfers(ranks, traffic);
  for (int i = 1; i < ranks.size(); ++i) {
    const auto from = packed(ranks.next(-i));
    transfers.receive(from.data, from.size(), ranks.next(-i));
  }
  for (int i = 1; i < ranks.size(); ++i) transfers.send(own.data, own.size(), ranks.next(i));
  transfers.wait();
  for (int i = 1; i < ranks.size(); ++i) {
    copy_elements(TensorView<const T>(packed(ranks.next(i))), part(ranks.next(i)));
  }
}

}  // namespace detail

namespace distributed {

/// coca::decode where each rank's cache has all tokens of the heads that HeadShares gives it, as they
/// are after an exchange of heads for tokens (ulysses_attention). Each rank attends for its heads, and
/// all get the outputs of all. Collective.
///
/// - out [sequences, queries, heads, value_dim], q [sequences, queries, heads, head_dim]: of all heads,
///   the same q on all ranks, and the same `out`, to the bit
/// - cache: of this rank's key heads; key_heads: how many there are on all ranks
///
/// Everything else is as for coca::decode; the mask and the scheme are told a head's number among those
/// of the rank. Returns what this rank sent: to each other, its heads of `out`, and of lse if asked.
/// Throws std::invalid_argument as coca::decode does, and for more ranks than heads allow, before
/// anything is written or sent; std::runtime_error for errors of MPI (see Communicator).
template <class Out, class Q, KeyValueCache Cache, class S, class M = Causal,
          class D = Eigen::DefaultDevice>
Traffic ulysses_decode(Out&& out, const Q& q, const Cache& cache,
                       std::span<const SequenceId> sequences, Index key_heads,
                       const Communicator& ranks, const S& scheme, const M& mask = {},
                       const AttentionOptions& options = {}, const D& device = {}) {
  Traffic traffic;
  if constexpr (detail::checked_types<Out, const Q, const Q, const Q, S, M, D>()) {
    const auto to = tensor_view(out);
    const TensorView<const ElementOf<Q>> from = tensor_view(q);
    detail::require_equal("out.shape[2] (heads)", to.shape[2], from.shape[2], "that of q");
    const HeadShares shares(from.shape[2], key_heads, ranks.size());
    const HeadRange own = shares.queries(ranks.rank());
    detail::require_equal("cache.key_heads", cache.layout().heads, shares.keys(ranks.rank()).size(),
                          "this rank's share");
    AttentionOptions asked = detail::options_of_heads(options, own, from.shape[2]);
    coca::decode(detail::heads_of(to, own.begin, own.end),
                 detail::heads_of(from, own.begin, own.end), cache, sequences, scheme, mask, asked,
                 device);
    detail::share_heads(to, shares, ranks, traffic);
    options.lse.with_view([&](const auto& lse) {
      detail::share_heads(detail::as_tensor(lse), shares, ranks, traffic);
    });
  }
  return traffic;
}

}  // namespace distributed

}  // namespace coca::inline v0
