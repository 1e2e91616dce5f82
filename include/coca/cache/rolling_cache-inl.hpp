#pragma once

#include <algorithm>
#include <utility>

#include "coca/cache/rolling_cache.hpp"

namespace coca::inline v0 {

COCA_FUNCTION SequenceId RollingCache::add() {
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

COCA_FUNCTION SequenceId RollingCache::fork(SequenceId from) {
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

COCA_FUNCTION void RollingCache::drop(SequenceId sequence) {
  table_.check(sequence);
  for (std::byte* page : table_.held(sequence).sinks) pool_.give_back(page);
  for (std::byte* page : table_.held(sequence).window) pool_.give_back(page);
  table_.drop(sequence);
}

COCA_FUNCTION void RollingCache::truncate(SequenceId sequence, Index length) {
  check_length(sequence, length);
  auto& [sinks, window] = table_.view(sequence).runs;
  table_.held(sequence).seen -= this->length(sequence) - length;
  window.tokens = std::max<Index>(0, length - sinks.tokens);
  sinks.tokens = std::min(sinks.tokens, length);
  if (window.tokens == 0) window.first_lane = 0;
  if (length == 0) table_.view(sequence).finite = true;
  refresh(sequence);
}

COCA_FUNCTION void RollingCache::check(const RollingOptions& options) {
  detail::check_tokens_number("rolling.sinks", options.sinks, 0);
  detail::check_tokens_number("rolling.window", options.window, 1);
}

COCA_FUNCTION void RollingCache::refresh(SequenceId sequence) {
  detail::RollingPages& held = table_.held(sequence);
  auto& [sinks, window] = table_.view(sequence).runs;
  sinks.pages = held.sinks.data();
  window.pages = held.window.data();
  window.first_token = sinks.tokens;
}

COCA_FUNCTION detail::PanelPlace RollingCache::make_room(SequenceId sequence) {
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

COCA_FUNCTION void RollingCache::store_tokens(std::span<const SequenceId> sequences,
                                              const detail::AnyInput& k,
                                              const detail::AnyInput& v) {
  for (std::size_t i = 0; i < sequences.size(); ++i) {
    for (Index token = 0; token < k.shape[1]; ++token) {
      write(sequences[i], k, v, i, token, make_room(sequences[i]));
    }
  }
}

}  // namespace coca::inline v0
