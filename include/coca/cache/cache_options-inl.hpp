#pragma once

#include <array>
#include <string>

#include "coca/cache/cache_options.hpp"
#include "coca/core/error.hpp"

namespace coca::inline v0::detail {

COCA_FUNCTION void check_positive(std::string_view name, Index was) {
  if (was < 1) reject(name, std::to_string(was), "1 or more");
}
COCA_FUNCTION void check_tokens_number(std::string_view name, Index was, Index fewest) {
  if (was >= fewest && was <= kMostTokens) return;
  reject(name, std::to_string(was),
         std::to_string(fewest) + (was < fewest ? " or more" : " to 2^52"));
}

COCA_FUNCTION void check_cache(const CacheOptions& options, Index page_tokens) {
  check_positive("cache.key_heads", options.key_heads);
  check_positive("cache.key_dim", options.key_dim);
  check_positive("cache.value_dim", options.value_dim);
  // Of the widest type, with values in whole panels, scales and a cache line.
  const double width =
      static_cast<double>(options.key_dim) + static_cast<double>(options.value_dim);
  const double bytes = 8.0 * static_cast<double>(options.key_heads) *
                       static_cast<double>(page_tokens) * (width + 24.0);
  require_countable("a page of the cache", bytes, [&] {
    const std::array sizes{page_tokens, options.key_heads, options.key_dim, options.value_dim};
    return "of " + list_text(sizes) + " = [tokens, key_heads, key_dim, value_dim]";
  });
}

}  // namespace coca::inline v0::detail
