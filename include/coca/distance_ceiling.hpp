#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <type_traits>
#include <utility>

#include "coca/attention.hpp"
#include "coca/core/error.hpp"
#include "coca/core/view.hpp"
#include "coca/core/workspace.hpp"
#include "coca/decode.hpp"
#include "coca/kernel/merge.hpp"
#include "coca/mask/causal.hpp"
#include "coca/mask/mask.hpp"
#include "coca/mask/sliding_window.hpp"
#include "coca/packed_attention.hpp"
#include "coca/packed_decode.hpp"
#include "coca/scheme/at_distance.hpp"

/// No key is farther than a model was trained for: the distance ceiling of LM-Infinite.
namespace coca::inline v0 {

/// A scheme with a ceiling on the distance (Han et al. 2024, LM-Infinite, arXiv 2308.16137, section
/// 4.1): keys that stand more than `ceiling` tokens behind their query are attended to as if they stood
/// `ceiling` tokens behind it,
///     score(m, n) = the base's at the distance min(m - n, ceiling),
/// and so are logit transforms, biases and slopes of the mask told. Keys ahead of the query are as ever.
/// It stands in the place of a scheme in calls of attention, packed_attention and decode, and of
/// attention_backward (distance_ceiling_backward.hpp):
///     attention(out, q, k, v, DistanceCeiling{Rotary{rope}, 4096},
///               Causal{} & (SinkTokens{10} | SlidingWindow{4095, 0}));
/// Throws std::invalid_argument for a base whose score is no function of the distance, as that of
/// CocaSlack, and a negative ceiling.
template <class S>
class DistanceCeiling {
 public:
  /// The ceiling in tokens, 0 or more.
  DistanceCeiling(S scheme, Index ceiling) : far_(std::move(scheme), ceiling) {}

  /// In tokens.
  Index ceiling() const { return far_.distance(); }
  /// The scheme without a ceiling, which is that of near keys. Work memory is what it needs.
  const S& base() const { return far_; }
  /// The scheme of far keys, all at the ceiling.
  const AtDistance<S>& far() const { return far_; }

 private:
  AtDistance<S> far_;
};

namespace detail {

/// What a mask shows. It is not copied, as it may hold a list.
template <Mask M>
class Shown {
 public:
  explicit Shown(const M& mask) : mask_(mask) {}

  void check(const AttentionShape& shape) const { mask_.check(shape); }
  Coverage classify(const MaskTile& tile) const { return mask_.classify(tile); }
  bool visible(const Site& site) const { return mask_.visible(site); }

 protected:
  const M& mask_;
};

/// ... and what it adds to scores.
template <Mask M>
class ShownAsIs : public Shown<M> {
 public:
  using Shown<M>::Shown;

  auto bias(const Site& site) const requires Biased<M> { return this->mask_.bias(site); }
  double slope(Index head) const requires Sloped<M> { return this->mask_.slope(head); }
};

/// ... and what it adds at one distance.
template <Mask M>
class ShownAtDistance : public Shown<M> {
 public:
  ShownAtDistance(const M& mask, Position distance) : Shown<M>(mask), distance_(distance) {}

  double bias(const Site& site) const requires Biased<M> || Sloped<M> {
    return added_to_score(this->mask_, at_distance(site, distance_));
  }

 private:
  Position distance_;
};

/// Near keys, those up to the ceiling, of what a mask shows.
template <Mask M>
auto near_keys(const M& mask, Position ceiling) {
  return Both(ShownAsIs<M>(mask), SlidingWindow(ceiling, SlidingWindow::unlimited));
}
/// Far keys, those beyond it.
template <Mask M>
auto far_keys(const M& mask, Position ceiling) {
  return Both(ShownAtDistance<M>(mask, ceiling), Causal(-ceiling - 1));
}

/// A ceiling that may be subtracted from a position.
template <class S>
Position lowest(const DistanceCeiling<S>& scheme) {
  return std::min(scheme.ceiling(), SlidingWindow::unlimited);
}

/// The distance from the last query to the first key, in a call of so many tokens.
inline Index farthest_key(const AttentionOptions& options, Index queries, Index keys) {
  if (!options.first_query) return keys - 1;
  return *options.first_query + queries - 1 - options.first_key;
}

inline void check_places(const AttentionOptions& options) {
  if (options.query_ids.data != nullptr || options.key_ids.data != nullptr) {
    reject("options.query_ids or key_ids", "given",
           "none beside a distance ceiling: distances are those of places");
  }
}

/// The tokens of an only batch entry.
template <class T>
View<T, 3> tokens_of(const TensorView<T>& x) {
  return {x.data, {x.shape[1], x.shape[2], x.shape[3]}, {x.strides[1], x.strides[2], x.strides[3]}};
}

/// Memory for what far keys give, which the calling thread keeps for its next call.
inline Arena& far_arena() {
  thread_local Arena arena;
  return arena;
}

/// Runs `run(out, scheme, mask, options)` for the keys up to the ceiling and, if any is farther, for
/// those beyond it, and merges what they give.
template <class T, class S, class M, class D, class Run>
void attend_near_and_far(const TensorView<T>& out, const DistanceCeiling<S>& scheme, const M& mask,
                         AttentionOptions options, Index farthest, const D& device,
                         const Run& run) {
  check_places(options);
  check_extents("out", out);
  const Position ceiling = lowest(scheme);
  const auto near = near_keys(mask, ceiling);
  if (farthest <= ceiling) {
    run(out, scheme.base(), near, options);
    return;
  }
  const auto attend = [&]<class L>(View<L, 3> lse, bool given) {
    const std::array<Index, 3> rows{out.shape[0], out.shape[2], out.shape[1]};
    View<L, 3> far_lse(nullptr, rows);
    TensorView<T> far_out(nullptr, out.shape);
    const auto lay_out = [&](Carver carver) {
      if (!given) lse = View<L, 3>(carver.take<L>(far_lse.size()), rows);
      far_lse.data = carver.take<L>(far_lse.size());
      far_out.data = carver.take<T>(far_out.size());
      return carver.bytes();
    };
    lay_out(Carver(far_arena().reserve(lay_out(Carver()))));
    options.lse = lse;
    run(out, scheme.base(), near, options);
    options.lse = far_lse;
    options.sinks = {};
    options.checked = false;
    run(far_out, scheme.far(), far_keys(mask, ceiling), options);
    merge(out, lse, far_out, far_lse, device);
  };
  if (options.lse) {
    options.lse.with_view([&](const auto& lse) { attend(lse, true); });
  } else {
    attend(View<Accumulator<T>, 3>(), false);
  }
}

}  // namespace detail

/// coca::attention with a ceiling on the distance. Near keys and far ones are attended to by
/// themselves, and merged by their log-sum-exps, so that far ones cost only what the mask shows of
/// them. Takes memory for a second output and log-sum-exp, which the calling thread keeps. An output
/// narrower than float is rounded twice. Position ids are refused, as masks and distances go by place.
template <class Out, class Q, class K, class V, class S, class M = Full,
          class D = Eigen::DefaultDevice>
void attention(Out&& out, const Q& q, const K& k, const V& v, const DistanceCeiling<S>& scheme,
               const M& mask = {}, const AttentionOptions& options = {}, const D& device = {}) {
  if constexpr (detail::checked_types<Out, const Q, const K, const V, S, M, D>()) {
    const auto to = tensor_view(out);
    const Index farthest = detail::farthest_key(options, to.shape[1], tensor_view(k).shape[1]);
    detail::attend_near_and_far(
        to, scheme, mask, options, farthest, device,
        [&](const auto& part, const auto& base, const auto& keys_of, const auto& asked) {
          attention(part, q, k, v, base, keys_of, asked, device);
        });
  }
}

/// coca::packed_attention with a ceiling on the distance; see the above.
template <PackedLike Out, PackedLike Q, PackedLike K, PackedLike V, class S, class M = Full,
          class D = Eigen::DefaultDevice>
void packed_attention(Out&& out, const Q& q, const K& k, const V& v,
                      const SequenceStarts& query_starts, const SequenceStarts& key_starts,
                      const DistanceCeiling<S>& scheme, const M& mask = {},
                      const AttentionOptions& options = {}, const D& device = {}) {
  using namespace detail;
  if constexpr (checked_types<decltype(packed_view(out)), decltype(packed_view(q)),
                              decltype(packed_view(k)), decltype(packed_view(v)), S, M, D>()) {
    // No sequence is longer than all of them.
    const Index farthest = packed_view(k).shape[1] - 1;
    attend_near_and_far(
        packed_view(out), scheme, mask, options, farthest, device,
        [&](const auto& part, const auto& base, const auto& keys_of, const auto& asked) {
          packed_attention(tokens_of(part), q, k, v, query_starts, key_starts, base, keys_of, asked,
                           device);
        });
  }
}

/// coca::decode with a ceiling on the distance; see the above.
template <class Out, class Q, KeyValueCache Cache, class S, class M = Causal,
          class D = Eigen::DefaultDevice>
void decode(Out&& out, const Q& q, const Cache& cache, std::span<const SequenceId> sequences,
            const DistanceCeiling<S>& scheme, const M& mask = {},
            const AttentionOptions& options = {}, const D& device = {}) {
  if constexpr (detail::checked_types<Out, const Q, const Q, const Q, S, M, D>()) {
    cache.check_sequences(sequences);
    const auto to = tensor_view(out);
    const Index keys = detail::cached_sequences(cache.sequences(), sequences, 1, {}).longest_keys();
    const Index farthest = detail::farthest_key(options, to.shape[1], keys);
    detail::attend_near_and_far(
        to, scheme, mask, options, farthest, device,
        [&](const auto& part, const auto& base, const auto& keys_of, const auto& asked) {
          decode(part, q, cache, sequences, base, keys_of, asked, device);
        });
  }
}

/// coca::packed_decode with a ceiling on the distance; see the above.
template <PackedLike Out, PackedLike Q, KeyValueCache Cache, class S, class M = Causal,
          class D = Eigen::DefaultDevice>
void packed_decode(Out&& out, const Q& q, const SequenceStarts& query_starts, const Cache& cache,
                   std::span<const SequenceId> sequences, const DistanceCeiling<S>& scheme,
                   const M& mask = {}, const AttentionOptions& options = {}, const D& device = {}) {
  using namespace detail;
  using Queries = decltype(packed_view(q));
  if constexpr (checked_types<decltype(packed_view(out)), Queries, Queries, Queries, S, M, D>()) {
    cache.check_sequences(sequences);
    const Index keys = cached_sequences(cache.sequences(), sequences, 1, {}).longest_keys();
    attend_near_and_far(
        packed_view(out), scheme, mask, options, keys - 1, device,
        [&](const auto& part, const auto& base, const auto& keys_of, const auto& asked) {
          packed_decode(tokens_of(part), q, query_starts, cache, sequences, base, keys_of, asked,
                        device);
        });
  }
}

}  // namespace coca::inline v0
