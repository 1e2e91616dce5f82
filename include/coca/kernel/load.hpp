#pragma once

#include <cstdint>
#include <type_traits>

#include "coca/core/scalar.hpp"
#include "coca/core/view.hpp"
#include "coca/core/workspace.hpp"
#include "coca/kernel/tile_engine.hpp"

/// Bringing tokens from wherever and whatever they are to rows in the computing type, and back.
namespace coca::inline v0::detail {

/// One head of one batch entry: its rows, token by token.
template <class X>
struct TokenRows {
  X* first;
  Index token_step;
  Index step;  ///< from one element to the next
  Index width;

  TokenRows(const TensorView<X>& x, Index batch, Index head)
      : first(x.data + batch * x.strides[0] + head * x.strides[2]),
        token_step(x.strides[1]),
        step(x.strides[3]),
        width(x.shape[3]) {}

  X* operator()(Index token) const { return first + token * token_step; }
};

/// One row as contiguous T: in place if it is that already, else through `scratch`.
template <Real T, class X>
const T* contiguous_row(const NarrowEngine& narrow, const TokenRows<const X>& rows, Index token,
                        T* scratch) {
  const X* from = rows(token);
  if (rows.step == 1) {
    if constexpr (std::is_same_v<X, T>) {
      return from;
    } else if constexpr (std::is_same_v<X, Eigen::half>) {
      narrow.widen_half(reinterpret_cast<const std::uint16_t*>(from), scratch, rows.width);
      return scratch;
    } else if constexpr (std::is_same_v<X, Eigen::bfloat16>) {
      narrow.widen_bfloat16(reinterpret_cast<const std::uint16_t*>(from), scratch, rows.width);
      return scratch;
    }
  }
  for (Index i = 0; i < rows.width; ++i) scratch[i] = static_cast<T>(from[i * rows.step]);
  return scratch;
}

/// Asks for one token's row ahead of its use. Rows of one head lie a stride apart, often a page, and
/// no hardware guesses the next one.
template <class X>
void prefetch_row(const TokenRows<const X>& rows, Index token) {
  constexpr Index line = static_cast<Index>(kAlignment / sizeof(X));
  if (rows.step != 1) return;
  for (Index i = 0; i < rows.width; i += line) __builtin_prefetch(rows(token) + i, 0, 2);
}

/// factor * sums -> one row, rounded to its type.
template <Real T, class X>
void store_row(const TileEngine<T>& engine, const NarrowEngine& narrow, const T* sums,
               const TokenRows<X>& rows, Index token, T factor) {
  X* to = rows(token);
  const Index width = rows.width;
  const Index step = rows.step;
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
