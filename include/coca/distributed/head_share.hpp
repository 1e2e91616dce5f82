#pragma once

#include <algorithm>
#include <string>

#include "coca/core/error.hpp"
#include "coca/core/scalar.hpp"
#include "coca/distributed/shard_call.hpp"
#include "coca/kernel/options.hpp"

/// Which rank has which heads.
namespace coca::inline v0 {

namespace distributed {

/// Heads begin .. end - 1.
struct HeadRange {
  Index begin = 0;  ///< the first
  Index end = 0;    ///< one past the last

  /// How many they are.
  Index size() const { return end - begin; }
};

/// Heads divided among ranks, whole groups of query heads with their key head: rank r of R gets key
/// heads [r H / R, (r + 1) H / R) of H. With more ranks than key heads, each key head is had by
/// several ranks, [h R / H, (h + 1) R / H), which divide its group of query heads in the same way.
/// Throws std::invalid_argument where that would leave a rank without a query head.
class HeadShares {
 public:
  /// All heads of a call, for so many ranks.
  HeadShares(Index query_heads, Index key_heads, int ranks) : key_heads_(key_heads), ranks_(ranks) {
    if (key_heads < 1 || query_heads % key_heads != 0) {
      detail::reject("key heads", std::to_string(key_heads),
                     "1 or more, a divisor of the " + std::to_string(query_heads) + " heads of q");
    }
    group_ = query_heads / key_heads;
    const Index sharing = (ranks_ + key_heads - 1) / key_heads;
    if (sharing > group_) {
      detail::reject("ranks", std::to_string(ranks),
                     "at most " + std::to_string(query_heads) + " (heads of q), " +
                         std::to_string(group_) + " for each key head");
    }
  }

  /// A rank's key heads.
  HeadRange keys(int rank) const {
    if (ranks_ <= key_heads_) return part(rank, ranks_, key_heads_);
    const Index head = ((rank + 1) * key_heads_ - 1) / ranks_;
    return {head, head + 1};
  }
  /// A rank's query heads, a multiple of its key heads.
  HeadRange queries(int rank) const {
    const HeadRange own = keys(rank);
    if (ranks_ <= key_heads_) return {own.begin * group_, own.end * group_};
    const HeadRange sharing = part(own.begin, key_heads_, ranks_);
    const HeadRange within = part(rank - sharing.begin, sharing.size(), group_);
    return {own.begin * group_ + within.begin, own.begin * group_ + within.end};
  }
  /// How many key heads all ranks have together, with one that several share counted for each.
  Index held_keys() const { return std::max(key_heads_, ranks_); }

 private:
  /// Part i of n of so many.
  static HeadRange part(Index i, Index n, Index count) {
    return {i * count / n, (i + 1) * count / n};
  }

  Index key_heads_;
  Index ranks_;
  Index group_ = 1;
};

}  // namespace distributed

namespace detail {

/// Of what options give for all heads, that of some. `query_heads`: how many there are.
inline AttentionOptions options_of_heads(AttentionOptions options,
                                         const distributed::HeadRange& heads, Index query_heads) {
  options.sinks.with_view([&](const auto& sinks) {
    require_equal("options.sinks.shape[0]", sinks.shape[0], query_heads, "heads of q");
    options.sinks = part_of(sinks, 0, heads.begin, heads.size());
  });
  options.lse.with_view([&](const auto& lse) {
    require_equal("options.lse.shape[1] (heads)", lse.shape[1], query_heads, "heads of q");
    options.lse = part_of(lse, 1, heads.begin, heads.size());
  });
  return options;
}

}  // namespace detail

}  // namespace coca::inline v0
