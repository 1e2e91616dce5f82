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

COCA_FUNCTION void check_positive(std::string_view name, Index was);
/// More than addresses reach, of 17 bytes or more each. Within it, pages and their sums can be counted.
inline constexpr Index kMostTokens = Index{1} << 52;

COCA_FUNCTION void check_tokens_number(std::string_view name, Index was, Index fewest);
/// For pages of so many tokens, a multiple of 16.
COCA_FUNCTION void check_cache(const CacheOptions& options, Index page_tokens);

}  // namespace detail

}  // namespace coca::inline v0

#ifndef COCA_COMPILED
#include "coca/cache/cache_options-inl.hpp"
#endif
