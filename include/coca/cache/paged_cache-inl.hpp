#pragma once

#include <cstring>
#include <string>
#include <unordered_map>
#include <utility>

#include "coca/cache/paged_cache.hpp"
#include "coca/core/error.hpp"

namespace coca::inline v0 {

COCA_FUNCTION SequenceId PagedCache::fork(SequenceId from) {
  table_.check(from);
  Pages pages = table_.held(from);
  for (std::byte* page : pages) pool_.share(page);
  const detail::PanelSequence old = table_.view(from);
  const SequenceId id = table_.add(std::move(pages));
  table_.view(id) = old;
  refresh(id, length(from));
  return id;
}

COCA_FUNCTION void PagedCache::drop(SequenceId sequence) {
  table_.check(sequence);
  for (std::byte* page : table_.held(sequence)) pool_.give_back(page);
  table_.drop(sequence);
}

COCA_FUNCTION void PagedCache::truncate(SequenceId sequence, Index length) {
  check_length(sequence, length);
  Pages& pages = table_.held(sequence);
  while (static_cast<Index>(pages.size()) > pages_for(length)) {
    pool_.give_back(pages.back());
    pages.pop_back();
  }
  refresh(sequence, length);
  if (length == 0) table_.view(sequence).finite = true;
}

COCA_FUNCTION void PagedCache::check(const PageOptions& options) {
  if (options.page_tokens < 1 || options.page_tokens % detail::kPanelTokens != 0) {
    detail::reject("pages.page_tokens", std::to_string(options.page_tokens),
                   "a multiple of " + std::to_string(detail::kPanelTokens));
  }
  if (options.pages < 0) detail::reject("pages.pages", std::to_string(options.pages), "0 or more");
}

COCA_FUNCTION std::byte* PagedCache::shared_last_page(SequenceId sequence) const {
  const Pages& pages = table_.held(sequence);
  const Index tokens = table_.view(sequence).tokens();
  if (tokens % layout_.page_tokens() == 0 || !pool_.shared(pages.back())) return nullptr;
  return pages.back();
}

COCA_FUNCTION Index PagedCache::pages_wanted(std::span<const SequenceId> sequences,
                                             Index tokens) const {
  Index wanted = 0;
  std::unordered_map<std::byte*, Index> copies;
  for (const SequenceId sequence : sequences) {
    const Index held = static_cast<Index>(table_.held(sequence).size());
    wanted += pages_for(table_.view(sequence).tokens() + tokens) - held;
    // The last of its holders may write into a page as it is.
    std::byte* page = shared_last_page(sequence);
    if (page != nullptr && copies[page] + 1 < pool_.users(page)) {
      ++copies[page];
      ++wanted;
    }
  }
  return wanted;
}

COCA_FUNCTION void PagedCache::store_tokens(std::span<const SequenceId> sequences,
                                            const detail::AnyInput& k, const detail::AnyInput& v) {
  const Index tokens = k.shape[1];
  const Index wanted = pages_wanted(sequences, tokens);
  if (wanted > pool_.left()) {
    detail::fail<CacheFull>("coca: the cache has " + std::to_string(pool_.left()) +
                            " pages left, and these tokens take " + std::to_string(wanted));
  }
  // All memory is taken before anything changes.
  detail::PageReserve fresh(pool_);
  fresh.fill(wanted);
  for (const SequenceId sequence : sequences) {
    table_.held(sequence).reserve(
        static_cast<std::size_t>(pages_for(table_.view(sequence).tokens() + tokens)));
    refresh(sequence, table_.view(sequence).tokens());
  }
  for (std::size_t i = 0; i < sequences.size(); ++i) {
    const SequenceId sequence = sequences[i];
    Pages& pages = table_.held(sequence);
    const Index before = table_.view(sequence).tokens();
    if (std::byte* page = shared_last_page(sequence)) {
      pages.back() = fresh.take();
      std::memcpy(pages.back(), page, layout_.page_bytes());
      pool_.give_back(page);
    }
    while (static_cast<Index>(pages.size()) < pages_for(before + tokens))
      pages.push_back(fresh.take());
    refresh(sequence, before + tokens);
    for (Index token = 0; token < tokens; ++token) {
      write(sequence, k, v, i, token, table_.view(sequence).place(layout_, before + token));
    }
  }
}

}  // namespace coca::inline v0
