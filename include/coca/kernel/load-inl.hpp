#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "coca/kernel/load.hpp"

namespace coca::inline v0::detail {

template <Real T>
const T* contiguous_row(const NarrowEngine* narrow, const TokenRows<const std::byte>& rows,
                        Index token, T* scratch) {
  const std::byte* from = rows(token);
  if constexpr (std::is_same_v<T, float>) {
    const auto* bits = reinterpret_cast<const std::uint16_t*>(from);
    if (rows.type == ElementType::bfloat16) {
      narrow->widen_bfloat16(bits, rows.step, scratch, rows.width);
      return scratch;
    }
    if (rows.type == ElementType::float16) {
      narrow->widen_half(bits, rows.step, scratch, rows.width);
      return scratch;
    }
  }
  const T* elements = reinterpret_cast<const T*>(from);
  if (rows.step == 1) return elements;
  for (Index i = 0; i < rows.width; ++i) scratch[i] = elements[i * rows.step];
  return scratch;
}

template <Real T>
void store_row(void (*scale)(const T* from, T* to, Index count, T factor),
               const NarrowEngine* narrow, const T* sums, const TokenRows<std::byte>& rows,
               Index token, T factor) {
  std::byte* to = rows(token);
  if constexpr (std::is_same_v<T, float>) {
    auto* bits = reinterpret_cast<std::uint16_t*>(to);
    if (rows.type == ElementType::bfloat16) {
      return narrow->scale_to_bfloat16(sums, bits, rows.step, rows.width, factor);
    }
    if (rows.type == ElementType::float16) {
      return narrow->scale_to_half(sums, bits, rows.step, rows.width, factor);
    }
  }
  T* elements = reinterpret_cast<T*>(to);
  if (rows.step == 1) return scale(sums, elements, rows.width, factor);
  for (Index i = 0; i < rows.width; ++i) elements[i * rows.step] = sums[i] * factor;
}

}  // namespace coca::inline v0::detail
