#pragma once

#include <array>
#include <string>
#include <string_view>

#include "coca/core/error.hpp"
#include "coca/core/scalar.hpp"

namespace coca::inline v0 {

/// The name of a sequence in a cache.
using SequenceId = Index;

/// What a cache holds of a token: for every key head, a key operand and a value.
///
/// Keys are kept as they come, unrotated: the scheme turns them when they are used. So dynamic
/// scalings of a rope, and positions that change, are right without touching what is stored. For the
/// CoCA schemes the key operand is t, half as wide as a key.
///
/// int8: a row x of a token and head is kept as q = round(x / s), s = max|x| / 127, and read as s q,
/// so that no number is off by more than s / 2 = max|x| / 254 (and rounding of s q in float). A row
/// with NaN or Inf is NaN when it is read.
struct CacheOptions {
  Index key_heads = 0;  ///< heads of keys and values; those of queries are a multiple
  Index key_dim = 0;    ///< width of the key operand: scheme.key_dim(head_dim)
  Index value_dim = 0;  ///< width of a value
  ElementType type = ElementType::float32;  ///< of what is stored; float64 serves queries in double
};

namespace detail {

inline void check_positive(std::string_view name, Index was) {
  if (was < 1) reject(name, std::to_string(was), "1 or more");
}
/// More than addresses reach, of 17 bytes or more each. Within it, pages and their sums can be counted.
inline constexpr Index kMostTokens = Index{1} << 52;

inline void check_tokens_number(std::string_view name, Index was, Index fewest) {
  if (was >= fewest && was <= kMostTokens) return;
  reject(name, std::to_string(was),
         std::to_string(fewest) + (was < fewest ? " or more" : " to 2^52"));
}

/// For pages of so many tokens, a multiple of 16.
inline void check_cache(const CacheOptions& options, Index page_tokens) {
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

}  // namespace detail

}  // namespace coca::inline v0
