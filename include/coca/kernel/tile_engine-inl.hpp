#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>
#include <utility>

#include "coca/core/scalar.hpp"
#include "coca/core/target.hpp"
#include "coca/kernel/tile_engine.hpp"
#include "coca/kernel/tile_functions.hpp"

// The width is part of the name, and what the baseline has already is not compiled again: so files
// of one program that were compiled with different flags do not share these loops. The rest of the
// library they do share, as with any header-only library: compile them with the same flags.
#if defined(__AVX512F__)
#define COCA_TARGET_NAMESPACE baseline64
#define COCA_TARGET_BYTES 64
#elif defined(__AVX__)
#define COCA_TARGET_NAMESPACE baseline32
#define COCA_TARGET_BYTES 32
#else
#define COCA_TARGET_NAMESPACE baseline16
#define COCA_TARGET_BYTES 16
#endif
#if COCA_TARGET_BYTES == 64 || (COCA_TARGET_BYTES == 32 && defined(__AVX2__) && defined(__F16C__))
#define COCA_TARGET_X86
#endif
#if COCA_TARGET_BYTES == 64 && defined(__AVX512BF16__)
#define COCA_TARGET_BFLOAT16 1
#endif
#if COCA_TARGET_BYTES == 64 && defined(__AVX512VNNI__)
#define COCA_TARGET_VNNI 1
#endif
namespace coca::inline v0::detail::COCA_TARGET_NAMESPACE {}
namespace coca::inline v0::detail {
namespace baseline = COCA_TARGET_NAMESPACE;
}
#include "coca/kernel/tile_engine.inc"

#if COCA_TARGET_AVX2
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c")
#endif
#define COCA_TARGET_NAMESPACE avx2
#define COCA_TARGET_BYTES 32
#define COCA_TARGET_X86
#include "coca/kernel/tile_engine.inc"
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif

#if COCA_TARGET_AVX512
#if defined(__clang__)
#pragma clang attribute push( \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")
#endif
#define COCA_TARGET_NAMESPACE avx512
#define COCA_TARGET_BYTES 64
#define COCA_TARGET_X86
#include "coca/kernel/tile_engine.inc"
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

// To that, the products of bfloat16 and int8 alone.
#if defined(__clang__)
#pragma clang attribute push(                                                                     \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx512vnni,avx2,fma"))), \
    apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx512vnni,avx2,fma")
#endif
#define COCA_TARGET_NAMESPACE avx512_bf16
#define COCA_TARGET_BYTES 64
#define COCA_TARGET_X86
#define COCA_TARGET_BFLOAT16 1
#define COCA_TARGET_VNNI 1
#include "coca/kernel/tile_engine.inc"
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
namespace coca::inline v0::detail::avx512_bf16 {
template <class T>
inline constexpr CacheFunctions<T> kCacheFunctionsWithDotProducts{
    .panels = avx512::panel_functions<T>,
    .turn_rows = avx512::turn_rows<T>,
    .scale_columns = avx512::scale_columns<T>,
    .int8 = int8_functions<T>(),
};
}  // namespace coca::inline v0::detail::avx512_bf16
#endif

namespace coca::inline v0::detail {

// Returns one of the tables of all targets; `last` is that of avx512_bf16.
#if COCA_TARGET_AVX512
#define COCA_RETURN_AVX512(table, last)          \
  if (which == Target::avx512_bf16) return last; \
  if (which == Target::avx512) return avx512::table;
#else
#define COCA_RETURN_AVX512(table, last)
#endif
#if COCA_TARGET_AVX2
#define COCA_RETURN_AVX2(table) \
  if (which == Target::avx2) return avx2::table;
#else
#define COCA_RETURN_AVX2(table)
#endif
#define COCA_RETURN_TABLE(table, last) \
  COCA_RETURN_AVX512(table, last)      \
  COCA_RETURN_AVX2(table)              \
  static_cast<void>(which);            \
  return baseline::table;

template <Real T>
const TileEngine<T>& tile_engine(Target which) {
  COCA_RETURN_TABLE(kEngine<T>, avx512::kEngine<T>)
}
template <Real T>
const CacheFunctions<T>& cache_functions(Target which) {
  COCA_RETURN_TABLE(kCacheFunctions<T>, avx512_bf16::kCacheFunctionsWithDotProducts<T>)
}
template <Real T>
const GradientFunctions<T>& gradient_functions(Target which) {
  COCA_RETURN_TABLE(kGradientFunctions<T>, avx512::kGradientFunctions<T>)
}
template <Real T>
const PackedTurns<T>& packed_turns(Target which) {
  COCA_RETURN_TABLE(kPackedTurns<T>, avx512::kPackedTurns<T>)
}
#undef COCA_RETURN_TABLE
#undef COCA_RETURN_AVX2
#undef COCA_RETURN_AVX512

template <Real T>
const Bfloat16Functions<T>* bfloat16_functions(Target which) {
#if COCA_TARGET_AVX512
  if (which == Target::avx512_bf16) return avx512_bf16::bfloat16_functions<T>();
#endif
  return which == Target::baseline ? baseline::bfloat16_functions<T>() : nullptr;
}

COCA_FUNCTION const NarrowEngine& narrow_engine(Target which) {
#if COCA_TARGET_AVX512
  if (which >= Target::avx512) return avx512::kNarrowEngine;
#endif
#if COCA_TARGET_AVX2
  if (which == Target::avx2) return avx2::kNarrowEngine;
#endif
  static_cast<void>(which);
  return baseline::kNarrowEngine;
}

}  // namespace coca::inline v0::detail
