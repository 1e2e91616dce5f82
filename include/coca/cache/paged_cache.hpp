#pragma once

#include <cstddef>
#include <cstring>
#include <span>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "coca/cache/cache_base.hpp"
#include "coca/cache/cache_options.hpp"
#include "coca/core/any_tensor.hpp"
#include "coca/core/error.hpp"
#include "coca/kernel/panels.hpp"

namespace coca::inline v0 {

/// A pool has no page left for what was to be added. Nothing has changed.
class CacheFull : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// How a PagedCache divides its memory.
struct PageOptions {
  Index page_tokens = 64;  ///< tokens in a page, a multiple of 16
  Index pages = 0;         ///< at most so many; 0: as many as there is memory for
};

/// Keys and values of many sequences in pages of a fixed size (Kwon et al. 2023, PagedAttention):
/// sequences grow page by page, nothing that is stored is moved, and sequences that begin with the
/// same tokens share the pages of them, until one writes into a page and gets a copy of its own.
///
/// Sequences are known by the numbers that add and fork return. Throws std::invalid_argument for
/// options out of range, a sequence that is not there, and tensors that do not fit; CacheFull where
/// the pool has no page left; nothing has changed then. Not for use by several threads at a time,
/// except for reading.
class PagedCache : public detail::CacheBase<PagedCache, std::vector<std::byte*>> {
 public:
  /// Without sequences; pages are taken as they are needed.
  explicit PagedCache(const CacheOptions& options, const PageOptions& pages = {})
      : CacheBase(options, (check(pages), pages.page_tokens), pages.pages) {}

  /// A new sequence, without tokens.
  SequenceId add() { return table_.add({}); }

  /// A new sequence with the tokens of another one. Pages are shared.
  SequenceId fork(SequenceId from);

  /// Forgets a sequence.
  void drop(SequenceId sequence);

  /// Keeps the first `length` tokens of a sequence, of as many or more: what speculative decoding
  /// does with rejected tokens.
  void truncate(SequenceId sequence, Index length);

  /// Pages that hold tokens.
  Index pages_used() const { return pool_.used(); }
  /// How many more there may be.
  Index pages_left() const { return pool_.left(); }

 private:
  friend CacheBase;
  using Pages = std::vector<std::byte*>;

  static void check(const PageOptions& options);

  Index pages_for(Index tokens) const {
    return (tokens + layout_.page_tokens() - 1) / layout_.page_tokens();
  }
  void refresh(SequenceId sequence, Index tokens) {
    table_.view(sequence).runs[0] = {table_.held(sequence).data(), 0, tokens, 0};
  }

  /// The page that new tokens of a sequence go into, if it has room and others hold it too.
  std::byte* shared_last_page(SequenceId sequence) const;

  /// Pages that must be there before `tokens` can be added to each of some sequences.
  Index pages_wanted(std::span<const SequenceId> sequences, Index tokens) const;

  void store_tokens(std::span<const SequenceId> sequences, const detail::AnyInput& k,
                    const detail::AnyInput& v);
};

/// Keys and values of sequences that grow as long as there is memory: a PagedCache of large pages
/// and no limit.
class GrowingCache : public PagedCache {
 public:
  /// Without sequences.
  explicit GrowingCache(const CacheOptions& options) : PagedCache(options, {.page_tokens = 256}) {}
};

}  // namespace coca::inline v0

#ifndef COCA_COMPILED
#include "coca/cache/paged_cache-inl.hpp"
#endif
