#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "coca/kernel/load.hpp"

namespace coca::inline v0::detail {

template <class X, Real T>
const T* gather_row(const std::byte* from, Index step, Index width, T* to) {
  const X* elements = reinterpret_cast<const X*>(from);
  for (Index i = 0; i < width; ++i) to[i] = static_cast<T>(elements[i * step]);
  return to;
}

template <Real T>
const T* contiguous_row(const NarrowEngine* narrow, const TokenRows<const std::byte>& rows,
                        Index token, T* scratch) {
  const std::byte* from = rows(token);
  if constexpr (std::is_same_v<T, double>) {
    if (rows.step == 1) return reinterpret_cast<const double*>(from);
    return gather_row<double>(from, rows.step, rows.width, scratch);
  } else {
    switch (rows.type) {
      case ElementType::bfloat16:
        if (rows.step != 1) {
          return gather_row<Eigen::bfloat16>(from, rows.step, rows.width, scratch);
        }
        narrow->widen_bfloat16(reinterpret_cast<const std::uint16_t*>(from), scratch, rows.width);
        return scratch;
      case ElementType::float16:
        if (rows.step != 1) return gather_row<Eigen::half>(from, rows.step, rows.width, scratch);
        narrow->widen_half(reinterpret_cast<const std::uint16_t*>(from), scratch, rows.width);
        return scratch;
      default:
        if (rows.step == 1) return reinterpret_cast<const float*>(from);
        return gather_row<float>(from, rows.step, rows.width, scratch);
    }
  }
}

template <class X, Real T>
void scatter_row(const T* sums, std::byte* to, Index step, Index width, T factor) {
  X* elements = reinterpret_cast<X*>(to);
  for (Index i = 0; i < width; ++i) elements[i * step] = static_cast<X>(sums[i] * factor);
}

template <Real T>
void store_row(const TileEngine<T>& engine, const NarrowEngine* narrow, const T* sums,
               const TokenRows<std::byte>& rows, Index token, T factor) {
  std::byte* to = rows(token);
  const Index width = rows.width;
  if constexpr (std::is_same_v<T, double>) {
    static_cast<void>(narrow);
    if (rows.step == 1) return engine.scale(sums, reinterpret_cast<T*>(to), width, factor);
    return scatter_row<double>(sums, to, rows.step, width, factor);
  } else {
    auto* bits = reinterpret_cast<std::uint16_t*>(to);
    switch (rows.type) {
      case ElementType::bfloat16:
        if (rows.step == 1) return narrow->scale_to_bfloat16(sums, bits, width, factor);
        return scatter_row<Eigen::bfloat16>(sums, to, rows.step, width, factor);
      case ElementType::float16:
        if (rows.step == 1) return narrow->scale_to_half(sums, bits, width, factor);
        return scatter_row<Eigen::half>(sums, to, rows.step, width, factor);
      default:
        if (rows.step == 1) return engine.scale(sums, reinterpret_cast<T*>(to), width, factor);
        return scatter_row<float>(sums, to, rows.step, width, factor);
    }
  }
}

}  // namespace coca::inline v0::detail
