#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "coca/cache/cache_options.hpp"
#include "coca/cache/page_pool.hpp"
#include "coca/cache/sequence_table.hpp"
#include "coca/cache/token_store.hpp"
#include "coca/core/any_tensor.hpp"
#include "coca/core/error.hpp"
#include "coca/core/view.hpp"
#include "coca/kernel/panels.hpp"

namespace coca::inline v0 {

/// What a RollingCache keeps of a sequence.
struct RollingOptions {
  Index sinks = 4;      ///< of its first tokens, so many
  Index window = 1020;  ///< and of its last ones
};

/// Keys and values of sequences of any length in constant memory (StreamingLLM, Xiao et al. 2024): the
/// first tokens, on which models rest their attention, and the last ones. Positions are those in the
/// cache, 0 to sinks + window - 1: a token's position falls as others are dropped before it, which a
/// cache of unrotated keys allows, so that a model never sees a distance beyond its cache.
///
/// The score of CocaSlack is no function of the distance: positions that change change it
/// (docs/mathematics.md). Throws as PagedCache does; the pool is never full.
class RollingCache {
 public:
  explicit RollingCache(const CacheOptions& options, const RollingOptions& rolling = {})
      : layout_{options.key_heads, options.key_dim, options.value_dim, 1, options.type},
        pool_((detail::check_cache(options), check(rolling), layout_.page_bytes()), 0),
        store_(layout_),
        rolling_(rolling) {}

  RollingCache(const RollingCache&) = delete;
  RollingCache& operator=(const RollingCache&) = delete;

  /// A new sequence, without tokens. All its memory is taken here.
  SequenceId add() {
    Held held;
    const auto some = [&](Index count) {
      std::vector<std::byte*> pages;
      pages.reserve(static_cast<std::size_t>(count));
      for (Index i = 0; i < count; ++i) pages.push_back(pool_.take());
      return pages;
    };
    held.sinks = some((rolling_.sinks + detail::kPanelTokens - 1) / detail::kPanelTokens);
    // The first page of the window may be all but one dead.
    held.window = some((rolling_.window + 2 * detail::kPanelTokens - 2) / detail::kPanelTokens);
    const SequenceId id = table_.add(std::move(held));
    refresh(id);
    return id;
  }

  /// A new sequence with the tokens of another one, which are copied.
  SequenceId fork(SequenceId from) {
    table_.check(from);
    const SequenceId id = add();
    const auto copy = [&](const std::vector<std::byte*>& pages, std::vector<std::byte*>& own) {
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
    table_.check(sequence);
    const Index held = this->length(sequence);
    if (length < 0 || length > held) {
      detail::reject("length", std::to_string(length),
                     "from 0 to the " + std::to_string(held) + " tokens of the sequence");
    }
    auto& [sinks, window] = table_.view(sequence).runs;
    table_.held(sequence).seen -= held - length;
    window.tokens = std::max<Index>(0, length - sinks.tokens);
    sinks.tokens = std::min(sinks.tokens, length);
    if (window.tokens == 0) window.first_lane = 0;
    if (length == 0) table_.view(sequence).finite = true;
    refresh(sequence);
  }

  /// Adds tokens to the end of a sequence, and drops others to make room: k [tokens, key heads,
  /// key_dim], v [tokens, key heads, value_dim], as PagedCache::append takes them.
  template <PackedLike K, PackedLike V>
  void append(SequenceId sequence, const K& k, const V& v) {
    append_tokens({&sequence, 1}, detail::packed_view(k), detail::packed_view(v), true);
  }
  template <TensorLike K, TensorLike V>
  void append(std::span<const SequenceId> sequences, const K& k, const V& v) {
    append_tokens(sequences, tensor_view(k), tensor_view(v), false);
  }

  /// The tokens that are held, as plain tensors [tokens, key heads, width].
  template <PackedLike K, PackedLike V>
  void read(SequenceId sequence, K&& k, V&& v) const {
    table_.check(sequence);
    detail::read_tokens(layout_, table_.view(sequence), detail::packed_view(k),
                        detail::packed_view(v));
  }

  /// Tokens that are held, at most sinks + window.
  Index length(SequenceId sequence) const {
    table_.check(sequence);
    return table_.view(sequence).tokens();
  }
  /// Tokens of the sequence so far, those dropped included.
  Index seen(SequenceId sequence) const {
    table_.check(sequence);
    return table_.held(sequence).seen;
  }
  std::size_t bytes() const { return pool_.bytes(); }
  Index token_bytes() const { return layout_.heads * layout_.token_bytes(); }

  /// For the kernels, as of PagedCache.
  const detail::PanelLayout& layout() const { return layout_; }
  const detail::PanelSequence* sequences() const { return table_.views(); }
  void check_sequences(std::span<const SequenceId> ids) const {
    detail::check_ids(table_, ids, false);
  }

 private:
  struct Held {
    std::vector<std::byte*> sinks;
    std::vector<std::byte*> window;
    Index seen = 0;
  };

  static void check(const RollingOptions& options) {
    if (options.sinks < 0) {
      detail::reject("rolling.sinks", std::to_string(options.sinks), "0 or more");
    }
    detail::check_positive("rolling.window", options.window);
  }

  void refresh(SequenceId sequence) {
    Held& held = table_.held(sequence);
    auto& [sinks, window] = table_.view(sequence).runs;
    sinks.pages = held.sinks.data();
    window.pages = held.window.data();
    window.first_token = sinks.tokens;
  }

  /// Room for one more token of a sequence, which its view then shows.
  detail::PanelPlace make_room(SequenceId sequence) {
    Held& held = table_.held(sequence);
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

  void append_tokens(std::span<const SequenceId> sequences, const detail::AnyInput& k,
                     const detail::AnyInput& v, bool packed) {
    detail::check_ids(table_, sequences, true);
    detail::check_tokens(layout_, k, v, static_cast<Index>(sequences.size()), packed);
    for (std::size_t i = 0; i < sequences.size(); ++i) {
      for (Index token = 0; token < k.shape[1]; ++token) {
        const detail::PanelPlace to = make_room(sequences[i]);
        const bool finite = store_.write(k, v, static_cast<Index>(i), token, to);
        detail::PanelSequence& view = table_.view(sequences[i]);
        view.finite = view.finite && finite;
      }
    }
  }

  detail::PanelLayout layout_;
  detail::PagePool pool_;
  detail::TokenStore store_;
  RollingOptions rolling_;
  detail::SequenceTable<Held> table_;
};

}  // namespace coca::inline v0
