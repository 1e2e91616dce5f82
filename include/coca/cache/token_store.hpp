#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "coca/cache/cache_options.hpp"
#include "coca/core/any_tensor.hpp"
#include "coca/core/compiled.hpp"
#include "coca/kernel/panels.hpp"

/// Tokens from tensors into panels, and back.
namespace coca::inline v0::detail {

/// That double meets a cache of float64, and nothing else does.
COCA_FUNCTION void check_precision(const PanelLayout& layout, std::string_view name,
                                   ElementType type);

/// That keys and values of new tokens fit a cache, and each other: [batch, tokens, heads, dim], or
/// without the batch axis where there is one sequence.
COCA_FUNCTION void check_tokens(const PanelLayout& layout, const AnyInput& k, const AnyInput& v,
                                Index batch, bool packed);

/// Writes tokens into the panels of a layout. Keeps a row of memory from one to the next.
class TokenStore {
 public:
  explicit TokenStore(const PanelLayout& layout) : layout_(layout) {}

  /// Keys and values `token` of one sequence of the tensors to a place, for all heads. Returns
  /// whether all values are finite as they are stored.
  bool write(const AnyInput& k, const AnyInput& v, Index batch, Index token, const PanelPlace& to);

 private:
  template <Real T>
  bool write(const AnyInput& k, const AnyInput& v, Index batch, Index token, const PanelPlace& to);

  /// One row of a tensor into row_, in the type of the cache. Returns the scale of int8, or 1.
  template <Real T>
  float narrow(const AnyInput& x, Index batch, Index token, Index head);

  static float quantise(const float* from, std::int8_t* to, Index count);

  template <Real T>
  bool stored_finite(float scale) const;

  const PanelLayout& layout_;
  std::vector<std::byte> scratch_;
  std::vector<std::byte> row_;
};

/// Keys and values of a sequence to tensors [1, tokens, heads, dim].
COCA_FUNCTION void read_tokens(const PanelLayout& layout, const PanelSequence& sequence,
                               const AnyOutput& k, const AnyOutput& v);

}  // namespace coca::inline v0::detail

#ifndef COCA_COMPILED
#include "coca/cache/token_store-inl.hpp"
#endif
