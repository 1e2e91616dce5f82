#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "coca/core/any_tensor.hpp"
#include "coca/core/scalar.hpp"
#include "coca/core/workspace.hpp"
#include "coca/kernel/tile_engine.hpp"

/// Bringing tokens from wherever and whatever they are to rows in the computing type, and back.
namespace coca::inline v0::detail {

/// One head of one batch entry: its rows, token by token.
template <class Byte>
struct TokenRows {
  Byte* first;
  Index token_bytes;  ///< from one row to the next
  Index step;         ///< from one element to the next, in elements
  Index width;
  ElementType type;

  TokenRows(const AnyTensor<Byte>& x, Index batch, Index head)
      // A tensor without elements may be null, from where nothing is counted.
      : first(x.data == nullptr
                  ? nullptr
                  : x.data + (batch * x.strides[0] + head * x.strides[2]) * element_bytes(x)),
        token_bytes(x.strides[1] * element_bytes(x)),
        step(x.strides[3]),
        width(x.shape[3]),
        type(x.type) {}

  Byte* operator()(Index token) const { return first + token * token_bytes; }
};

/// One row as contiguous T: in place if it is that already, else through `scratch`.
template <Real T>
[[gnu::noinline]] const T* contiguous_row(const NarrowEngine* narrow,
                                          const TokenRows<const std::byte>& rows, Index token,
                                          T* scratch);

/// Asks for one token's row ahead of its use, to read it or, of an output, to write it. Rows of one head
/// lie a stride apart, often a page, and no hardware guesses the next one. Inline: to GCC a function that only
/// prefetches has no effect, and calls of it are left out.
template <class Byte>
[[gnu::always_inline]] inline void prefetch_row(const TokenRows<Byte>& rows, Index token) {
  if (rows.step != 1) return;
  const std::byte* row = rows(token);
  const Index bytes = rows.width * element_bytes(rows.type);
  for (Index i = 0; i < bytes; i += static_cast<Index>(kAlignment)) {
    __builtin_prefetch(row + i, std::is_const_v<Byte> ? 0 : 1, 2);
  }
}

/// factor * sums -> one row, rounded to its type. `scale`: TileEngine::scale, or what does the same.
template <Real T>
[[gnu::noinline]] void store_row(void (*scale)(const T* from, T* to, Index count, T factor),
                                 const NarrowEngine* narrow, const T* sums,
                                 const TokenRows<std::byte>& rows, Index token, T factor);

}  // namespace coca::inline v0::detail

#ifndef COCA_COMPILED
#include "coca/kernel/load-inl.hpp"
#endif
