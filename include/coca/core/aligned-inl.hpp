#pragma once

#include <cstdint>

#include "coca/core/aligned.hpp"
#include "coca/core/error.hpp"

namespace coca::inline v0::detail {

COCA_FUNCTION void check_aligned(std::string_view name, const MemoryView& x) {
  const auto wanted = static_cast<std::uintptr_t>(x.element_bytes);
  const std::uintptr_t past = reinterpret_cast<std::uintptr_t>(x.data) % wanted;
  if (past == 0 || x.empty()) return;
  const auto multiple = static_cast<Index>(wanted);
  reject(name, {"at an address ", static_cast<Index>(past), " past a multiple of ", multiple},
         {"a multiple of ", multiple, ", as its elements are aligned"});
}

}  // namespace coca::inline v0::detail
