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
  SequenceId add() {
    // The first page of the window may be all but one dead.
    const Index sinks = (rolling_.sinks + detail::kPanelTokens - 1) / detail::kPanelTokens;
    const Index window = (rolling_.window + 2 * detail::kPanelTokens - 2) / detail::kPanelTokens;
    detail::RollingPages held{Pages(static_cast<std::size_t>(sinks)),
                              Pages(static_cast<std::size_t>(window))};
    detail::PageReserve fresh(pool_);
    fresh.fill(sinks + window);
    for (Pages* pages : {&held.sinks, &held.window}) {
      for (std::byte*& page : *pages) page = fresh.take();
    }
    const SequenceId id = table_.add(std::move(held));
    refresh(id);
    return id;
  }

  /// A new sequence with the tokens of another one, which are copied.
  SequenceId fork(SequenceId from) {
    table_.check(from);
    const SequenceId id = add();
    const auto copy = [&](const Pages& pages, Pages& own) {
      for (std::size_t i = 0; i < pages.size(); ++i) {
        std::copy_n(pages[i], layout_.page_bytes(), own[i]);
      }
    };
    copy(table_.held(from).sinks, table_.held(id).sinks);
    copy(table_.held(from).window, table_.held(id).window);
    table_.held(id).seen = table_.held(from).seen;
    table_.view(id) = table_.view(from);
    refresh(id);
    return id;
  }

  /// Forgets a sequence.
  void drop(SequenceId sequence) {
    table_.check(sequence);
    for (std::byte* page : table_.held(sequence).sinks) pool_.give_back(page);
    for (std::byte* page : table_.held(sequence).window) pool_.give_back(page);
    table_.drop(sequence);
  }

  /// Keeps the first `length` tokens of those that are held. What was dropped does not come back.
  void truncate(SequenceId sequence, Index length) {
    check_length(sequence, length);
    auto& [sinks, window] = table_.view(sequence).runs;
    table_.held(sequence).seen -= this->length(sequence) - length;
    window.tokens = std::max<Index>(0, length - sinks.tokens);
    sinks.tokens = std::min(sinks.tokens, length);
    if (window.tokens == 0) window.first_lane = 0;
    if (length == 0) table_.view(sequence).finite = true;
    refresh(sequence);
  }

  /// Tokens of the sequence so far, those dropped included.
  Index seen(SequenceId sequence) const {
    table_.check(sequence);
    return table_.held(sequence).seen;
  }

 private:
  friend CacheBase;
  using Pages = std::vector<std::byte*>;

  static void check(const RollingOptions& options) {
    detail::check_tokens_number("rolling.sinks", options.sinks, 0);
    detail::check_tokens_number("rolling.window", options.window, 1);
  }

  void refresh(SequenceId sequence) {
    detail::RollingPages& held = table_.held(sequence);
    auto& [sinks, window] = table_.view(sequence).runs;
    sinks.pages = held.sinks.data();
    window.pages = held.window.data();
    window.first_token = sinks.tokens;
  }

  /// Room for one more token of a sequence, which its view then shows.
  detail::PanelPlace make_room(SequenceId sequence) {
    detail::RollingPages& held = table_.held(sequence);
    detail::PanelSequence& view = table_.view(sequence);
    auto& [sinks, window] = view.runs;
    ++held.seen;
    if (sinks.tokens < rolling_.sinks && window.tokens == 0) {
      ++sinks.tokens;
      refresh(sequence);
      return view.place(layout_, sinks.tokens - 1);
    }
    if (window.tokens == rolling_.window) {
      --window.tokens;
      if (++window.first_lane == detail::kPanelTokens) {
        // The first page has no token left, and becomes the last.
        window.first_lane = 0;
        std::rotate(held.window.begin(), held.window.begin() + 1, held.window.end());
      }
    }
    ++window.tokens;
    return view.place(layout_, view.tokens() - 1);
  }

  /// Tokens that come find room, and others are dropped for it.
  void store_tokens(std::span<const SequenceId> sequences, const detail::AnyInput& k,
                    const detail::AnyInput& v) {
    for (std::size_t i = 0; i < sequences.size(); ++i) {
      for (Index token = 0; token < k.shape[1]; ++token) {
        write(sequences[i], k, v, i, token, make_room(sequences[i]));
      }
    }
  }

  RollingOptions rolling_;
};

}  // namespace coca::inline v0
