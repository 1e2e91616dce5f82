#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "coca/core/any_tensor.hpp"
#include "coca/core/error.hpp"
#include "coca/core/scalar.hpp"
#include "coca/core/view.hpp"

/// That elements lie where their type may.
namespace coca::inline v0::detail {

/// What the address of an element is a multiple of.
template <class T, int Rank>
constexpr std::size_t element_alignment(const View<T, Rank>&) {
  return alignof(T);
}
template <class Byte>
constexpr std::size_t element_alignment(const AnyTensor<Byte>& x) {
  switch (x.type) {
    case ElementType::float64:
      return alignof(double);
    case ElementType::float32:
      return alignof(float);
    case ElementType::int8:
      return alignof(std::int8_t);
    default:
      static_assert(alignof(Eigen::bfloat16) == alignof(Eigen::half));
      return alignof(Eigen::half);
  }
}

/// Strides count elements, so that all of them are where they may be if the first is. Reading one that
/// is not is undefined.
template <class X>
void check_aligned(std::string_view name, const X& x) {
  const std::size_t wanted = element_alignment(x);
  const std::size_t past = reinterpret_cast<std::uintptr_t>(x.data) % wanted;
  if (past == 0 || x.empty()) return;
  const std::string multiple = "a multiple of " + std::to_string(wanted);
  reject(name, "at an address " + std::to_string(past) + " past " + multiple,
         multiple + ", as its elements are aligned");
}

}  // namespace coca::inline v0::detail
