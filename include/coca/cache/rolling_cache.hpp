#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "coca/cache/cache_base.hpp"
#include "coca/cache/cache_options.hpp"
#include "coca/core/any_tensor.hpp"
#include "coca/core/error.hpp"
#include "coca/kernel/panels.hpp"

namespace coca::inline v0 {

/// What a RollingCache keeps of a sequence.
struct RollingOptions {
  Index sinks = 4;      ///< of its first tokens, so many
  Index window = 1020;  ///< and of its last ones
};

namespace detail {

/// What a RollingCache keeps of a sequence.
struct RollingPages {
  std::vector<std::byte*> sinks;
  std::vector<std::byte*> window;  ///< from that of the oldest token on
  Index seen = 0;                  ///< tokens so far
};

}  // namespace detail

/// Keys and values of sequences of any length in constant memory (StreamingLLM, Xiao et al. 2024): the
/// first tokens, on which models rest their attention, and the last ones. Positions are those in the
/// cache, 0 to sinks + window - 1: a token's position falls as others are dropped before it, which a
/// cache of unrotated keys allows, so that a model never sees a distance beyond its cache.
///
/// The score of CocaSlack is no function of the distance: positions that change change it
/// (docs/mathematics.md). Throws as PagedCache does; the pool is never full.
class RollingCache : public detail::CacheBase<RollingCache, detail::RollingPages> {
 public:
  /// Pages are of one panel, so that they may be used in turn.
  explicit RollingCache(const CacheOptions& options, const RollingOptions& rolling = {})
      : CacheBase(options, (check(rolling), detail::kPanelTokens), 0), rolling_(rolling) {}

  /// A new sequence, without tokens. All its memory is taken here.
  SequenceId add();

  /// A new sequence with the tokens of another one, which are copied.
  SequenceId fork(SequenceId from);

  /// Forgets a sequence.
  void drop(SequenceId sequence);

  /// Keeps the first `length` tokens of those that are held. What was dropped does not come back.
  void truncate(SequenceId sequence, Index length);

  /// Tokens of the sequence so far, those dropped included.
  Index seen(SequenceId sequence) const {
    table_.check(sequence);
    return table_.held(sequence).seen;
  }

 private:
  friend CacheBase;
  using Pages = std::vector<std::byte*>;

  static void check(const RollingOptions& options);

  void refresh(SequenceId sequence);

  /// Room for one more token of a sequence, which its view then shows.
  detail::PanelPlace make_room(SequenceId sequence);

  /// Tokens that come find room, and others are dropped for it.
  void store_tokens(std::span<const SequenceId> sequences, const detail::AnyInput& k,
                    const detail::AnyInput& v);

  RollingOptions rolling_;
};

}  // namespace coca::inline v0

#ifndef COCA_COMPILED
#include "coca/cache/rolling_cache-inl.hpp"
#endif
