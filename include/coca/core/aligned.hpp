#pragma once

#include <string_view>

#include "coca/core/compiled.hpp"
#include "coca/core/memory_view.hpp"

/// That elements lie where their type may.
namespace coca::inline v0::detail {

/// An element is aligned to its own size. Strides count elements, so that all of them are where they may
/// be if the first is. Reading one that is not is undefined.
COCA_FUNCTION void check_aligned(std::string_view name, const MemoryView& x);

}  // namespace coca::inline v0::detail

#ifndef COCA_COMPILED
#include "coca/core/aligned-inl.hpp"
#endif
