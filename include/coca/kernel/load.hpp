#pragma once

#include <span>

#include "coca/core/scalar.hpp"
#include "coca/core/view.hpp"
#include "coca/scheme/scheme.hpp"

/// Bringing tokens from wherever and whatever they are to rows in the computing type.
namespace coca::inline v0::detail {

/// One token's row of x as contiguous T: in place if it is that already, else through `scratch`.
template <Real T, class X>
std::span<const T> token_row(const TensorView<const X>& x, Index batch, Index token, Index head,
                             T* scratch) {
  const X* from = &x(batch, token, head, 0);
  const Index width = x.shape[3];
  const Index step = x.strides[3];
  if constexpr (std::is_same_v<X, T>) {
    if (step == 1) return {from, static_cast<std::size_t>(width)};
  }
  if (step == 1) {
    for (Index i = 0; i < width; ++i) scratch[i] = static_cast<T>(from[i]);
  } else {
    for (Index i = 0; i < width; ++i) scratch[i] = static_cast<T>(from[i * step]);
  }
  return {scratch, static_cast<std::size_t>(width)};
}

/// Whether every one of `count` numbers is finite.
template <Real T>
bool all_finite(const T* values, Index count) {
  T lanes[16] = {};
  Index j = 0;
  for (; j + 16 <= count; j += 16) {
    for (Index i = 0; i < 16; ++i) lanes[i] += values[j + i] * T(0);
  }
  for (; j < count; ++j) lanes[0] += values[j] * T(0);
  T poison = T(0);
  for (const T lane : lanes) poison += lane;
  return poison == T(0);
}

}  // namespace coca::inline v0::detail
