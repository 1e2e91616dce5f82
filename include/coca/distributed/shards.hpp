#pragma once

#include <algorithm>
#include <array>
#include <string>

#include "coca/core/error.hpp"
#include "coca/core/scalar.hpp"

/// Which rank has which tokens of a sequence.
namespace coca::inline v0::distributed {

/// Neighbouring tokens, by their positions: those from begin to end - 1.
struct TokenRange {
  Index begin = 0;  ///< the first
  Index end = 0;    ///< one past the last

  /// How many they are.
  Index size() const { return end - begin; }
  /// Whether they are the same tokens.
  bool operator==(const TokenRange&) const = default;
};

/// A sequence of `length` tokens at positions 0 .. length - 1, cut into neighbouring chunks of the same
/// length but for rounding, chunk c of C being [c length / C, (c + 1) length / C). A rank's tensors
/// hold its chunks one behind the other.
///
/// - contiguous: R chunks, rank r has chunk r.
/// - zig_zag: 2 R chunks, rank r has chunks r and 2 R - 1 - r. Under a causal mask a query at m meets
///   m + 1 keys; chunk r meets as many fewer than the middle as chunk 2 R - 1 - r meets more. If 2 R
///   divides the length, with c tokens a chunk, every rank meets c (length + 1) pairs, and in a ring
///   as many in each step: 2 c^2 + c with its own keys and 2 c^2 with those of each other rank.
///   (Zhu 2024, ring-flash-attention, "zigzag"; Llama 3, Grattafiori et al. 2024, section 3.3.2.)
class Shards {
 public:
  /// One chunk a rank. Throws std::invalid_argument for a negative length and for no ranks.
  static Shards contiguous(Index length, int ranks) { return {length, ranks, 1}; }
  /// Two chunks a rank, an early and a late one. Throws as `contiguous` does.
  static Shards zig_zag(Index length, int ranks) { return {length, ranks, 2}; }

  /// Tokens of the whole sequence.
  Index length() const { return length_; }
  /// Ranks it is for.
  int ranks() const { return static_cast<int>(ranks_); }

  /// A rank's tokens, in the order of its tensors. Either may be empty, and the second always is
  /// where they are contiguous.
  std::array<TokenRange, 2> ranges(int rank) const {
    if (chunks_ == 1) return {chunk(rank), TokenRange{}};
    return {chunk(rank), chunk(2 * ranks_ - 1 - rank)};
  }
  /// How many they are.
  Index tokens(int rank) const {
    const auto [first, second] = ranges(rank);
    return first.size() + second.size();
  }
  /// The most of any rank.
  Index most_tokens() const {
    Index most = 0;
    for (int rank = 0; rank < ranks(); ++rank) most = std::max(most, tokens(rank));
    return most;
  }

 private:
  Shards(Index length, int ranks, Index chunks) : length_(length), ranks_(ranks), chunks_(chunks) {
    if (length < 0) detail::reject("shards.length", std::to_string(length), "0 or more");
    if (ranks < 1) detail::reject("shards.ranks", std::to_string(ranks), "1 or more");
  }

  TokenRange chunk(Index c) const {
    const Index all = chunks_ * ranks_;
    return {c * length_ / all, (c + 1) * length_ / all};
  }

  Index length_;
  Index ranks_;
  Index chunks_;  ///< of a rank
};

}  // namespace coca::inline v0::distributed
