#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "coca/core/any_tensor.hpp"
#include "coca/core/error.hpp"

/// That elements lie where their type may.
namespace coca::inline v0::detail {

/// An element is aligned to its own size. Strides count elements, so that all of them are where they may
/// be if the first is. Reading one that is not is undefined.
template <class X>
void check_aligned(std::string_view name, const X& x) {
  const auto wanted = static_cast<std::uintptr_t>(element_bytes(x));
  const std::uintptr_t past = reinterpret_cast<std::uintptr_t>(x.data) % wanted;
  if (past == 0 || x.empty()) return;
  const std::string multiple = "a multiple of " + std::to_string(wanted);
  reject(name, "at an address " + std::to_string(past) + " past " + multiple,
         multiple + ", as its elements are aligned");
}

}  // namespace coca::inline v0::detail
