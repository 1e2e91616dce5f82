#pragma once

#include <cstdint>
#include <span>
#include <type_traits>

#include "coca/core/scalar.hpp"
#include "coca/core/view.hpp"
#include "coca/core/workspace.hpp"
#include "coca/kernel/tile_engine.hpp"

/// Bringing tokens from wherever and whatever they are to rows in the computing type, and back.
namespace coca::inline v0::detail {

/// One token's row of x as contiguous T: in place if it is that already, else through `scratch`.
template <Real T, class X>
std::span<const T> token_row(const NarrowEngine& narrow, const TensorView<const X>& x, Index batch,
                             Index token, Index head, T* scratch) {
  const X* from = &x(batch, token, head, 0);
  const Index width = x.shape[3];
  const Index step = x.strides[3];
  const auto size = static_cast<std::size_t>(width);
  if (step == 1) {
    if constexpr (std::is_same_v<X, T>) {
      return {from, size};
    } else if constexpr (std::is_same_v<X, Eigen::half>) {
      narrow.widen_half(reinterpret_cast<const std::uint16_t*>(from), scratch, width);
      return {scratch, size};
    } else if constexpr (std::is_same_v<X, Eigen::bfloat16>) {
      narrow.widen_bfloat16(reinterpret_cast<const std::uint16_t*>(from), scratch, width);
      return {scratch, size};
    }
  }
  for (Index i = 0; i < width; ++i) scratch[i] = static_cast<T>(from[i * step]);
  return {scratch, size};
}

/// Asks for one token's row ahead of its use. Rows of one head lie a stride apart, often a page, and
/// no hardware guesses the next one.
template <class X>
void prefetch_row(const TensorView<const X>& x, Index batch, Index token, Index head) {
  constexpr Index line = static_cast<Index>(kAlignment / sizeof(X));
  const X* from = &x(batch, token, head, 0);
  if (x.strides[3] != 1) return;
  for (Index i = 0; i < x.shape[3]; i += line) __builtin_prefetch(from + i, 0, 2);
}

/// factor * sums -> one token's row of `out`, rounded to its type.
template <Real T, class X>
void store_row(const TileEngine<T>& engine, const NarrowEngine& narrow, const T* sums,
               const TensorView<X>& out, Index batch, Index token, Index head, T factor) {
  X* to = &out(batch, token, head, 0);
  const Index width = out.shape[3];
  const Index step = out.strides[3];
  if (step == 1) {
    if constexpr (std::is_same_v<X, T>) {
      return engine.scale(sums, to, width, factor);
    } else if constexpr (std::is_same_v<X, Eigen::half>) {
      return narrow.scale_to_half(sums, reinterpret_cast<std::uint16_t*>(to), width, factor);
    } else if constexpr (std::is_same_v<X, Eigen::bfloat16>) {
      return narrow.scale_to_bfloat16(sums, reinterpret_cast<std::uint16_t*>(to), width, factor);
    }
  }
  for (Index i = 0; i < width; ++i) to[i * step] = static_cast<X>(sums[i] * factor);
}

}  // namespace coca::inline v0::detail
