#pragma once

#include <cstdlib>
#include <string_view>

#include "coca/core/target.hpp"

namespace coca::inline v0 {

COCA_FUNCTION const char* target_name(Target target) {
  switch (target) {
    case Target::avx2:
      return "avx2";
    case Target::avx512:
      return "avx512";
    case Target::avx512_bf16:
      return "avx512_bf16";
    default:
      return "baseline";
  }
}

namespace detail {

COCA_FUNCTION bool target_available(Target target) {
#if COCA_TARGET_AVX512
  if (target == Target::avx512_bf16) {
    return target_available(Target::avx512) && __builtin_cpu_supports("avx512bf16") &&
           __builtin_cpu_supports("avx512vnni");
  }
  if (target == Target::avx512) {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  }
#endif
#if COCA_TARGET_AVX2
  if (target == Target::avx2) {
    // Every processor with AVX2 has F16C, whose name clang 14 does not know here.
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  }
#endif
  return target == Target::baseline;
}

inline Target choose_target() {
  // A name in the environment holds the library to one target, for tests and comparisons.
  if (const char* name = std::getenv("COCA_TARGET")) {
    for (const Target target : kAllTargets) {
      if (std::string_view(name) == target_name(target) && target_available(target)) return target;
    }
  }
  for (const Target target : {Target::avx512_bf16, Target::avx512, Target::avx2}) {
    if (target_available(target)) return target;
  }
  return Target::baseline;
}

}  // namespace detail

COCA_FUNCTION Target target() {
  static const Target chosen = detail::choose_target();
  return chosen;
}

}  // namespace coca::inline v0
