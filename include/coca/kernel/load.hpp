#pragma once

#include <cstdint>
#include <span>
#include <type_traits>

#include "coca/core/scalar.hpp"
#include "coca/core/view.hpp"
#include "coca/kernel/tile_engine.hpp"

/// Bringing tokens from wherever and whatever they are to rows in the computing type.
namespace coca::inline v0::detail {

/// One token's row of x as contiguous T: in place if it is that already, else through `scratch`.
template <Real T, class X>
std::span<const T> token_row(const TileEngine<T>& engine, const TensorView<const X>& x, Index batch,
                             Index token, Index head, T* scratch) {
  const X* from = &x(batch, token, head, 0);
  const Index width = x.shape[3];
  const Index step = x.strides[3];
  const auto size = static_cast<std::size_t>(width);
  if (step == 1) {
    if constexpr (std::is_same_v<X, T>) {
      return {from, size};
    } else if constexpr (std::is_same_v<X, Eigen::half>) {
      engine.widen_half(reinterpret_cast<const std::uint16_t*>(from), scratch, width);
      return {scratch, size};
    } else if constexpr (std::is_same_v<X, Eigen::bfloat16>) {
      engine.widen_bfloat16(reinterpret_cast<const std::uint16_t*>(from), scratch, width);
      return {scratch, size};
    }
  }
  for (Index i = 0; i < width; ++i) scratch[i] = static_cast<T>(from[i * step]);
  return {scratch, size};
}

}  // namespace coca::inline v0::detail
