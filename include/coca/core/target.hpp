#pragma once

#include <array>
#include <cstdlib>
#include <string_view>

/// One binary, the best instruction set at run time.
///
/// Most programs are built for the oldest processor they may meet. The hot loops of this library
/// are therefore compiled several times, once for each instruction set below, and the best one that
/// the processor has is taken when the program runs. Needs GCC or clang on x86-64; elsewhere, or
/// with COCA_SINGLE_TARGET defined, there is only what the compiler was told.
#if defined(__FAST_MATH__) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__)
#error "coca: hidden keys are -inf, and rounding is done by arithmetic: no -ffast-math"
#endif
#if defined(__x86_64__) && defined(__GNUC__) && !defined(COCA_SINGLE_TARGET)
#define COCA_MULTI_TARGET 1
#else
#define COCA_MULTI_TARGET 0
#endif

// What the compiler was told to build for anyway is the baseline.
#if COCA_MULTI_TARGET && !(defined(__AVX2__) && defined(__FMA__))
#define COCA_TARGET_AVX2 1
#else
#define COCA_TARGET_AVX2 0
#endif
#if COCA_MULTI_TARGET && !(defined(__AVX512F__) && defined(__AVX512BW__) && \
                           defined(__AVX512DQ__) && defined(__AVX512VL__))
#define COCA_TARGET_AVX512 1
#else
#define COCA_TARGET_AVX512 0
#endif

namespace coca::inline v0 {

/// An instruction set the hot loops may be compiled for.
enum class Target {
  baseline,     ///< what the compiler was told to build for
  avx2,         ///< AVX2 and FMA
  avx512,       ///< AVX-512 F, BW, DQ and VL
  avx512_bf16,  ///< and BF16 and VNNI: bfloat16 tensors are multiplied as such, int8 faster
};

/// As COCA_TARGET has it: "baseline", "avx2", "avx512" or "avx512_bf16".
inline const char* target_name(Target target) {
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

inline constexpr std::array kAllTargets{Target::baseline, Target::avx2, Target::avx512,
                                        Target::avx512_bf16};

/// Whether this program has code for a target and this processor can run it.
inline bool target_available(Target target) {
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

/// The instruction set in use, chosen when first asked: the best available, or the one named by the
/// environment variable COCA_TARGET if it is available.
inline Target target() {
  static const Target chosen = detail::choose_target();
  return chosen;
}

namespace detail {

#if COCA_TARGET_AVX2
template <class F>
__attribute__((target("avx2,fma,f16c"))) void call_avx2(const F& f) {
  f();
}
#endif
#if COCA_TARGET_AVX512
template <class F>
__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma"))) void call_avx512(
    const F& f) {
  f();
}
#endif

/// Calls f as code of the chosen instruction set: f is a lambda marked always_inline, and what it
/// calls is so marked too or small enough to be inlined.
template <class F>
void on_target(Target which, const F& f) {
#if COCA_TARGET_AVX512
  if (which >= Target::avx512) return call_avx512(f);
#endif
#if COCA_TARGET_AVX2
  if (which == Target::avx2) return call_avx2(f);
#endif
  static_cast<void>(which);
  f();
}

}  // namespace detail

}  // namespace coca::inline v0
