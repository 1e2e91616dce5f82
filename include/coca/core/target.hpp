#pragma once

#include <array>

#include "coca/core/compiled.hpp"

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
COCA_FUNCTION const char* target_name(Target target);

/// The instruction set in use, chosen when first asked: the best available, or the one named by the
/// environment variable COCA_TARGET if it is available.
COCA_FUNCTION Target target();

namespace detail {

inline constexpr std::array kAllTargets{Target::baseline, Target::avx2, Target::avx512,
                                        Target::avx512_bf16};

/// Whether this program has code for a target and this processor can run it.
COCA_FUNCTION bool target_available(Target target);

}  // namespace detail

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

#ifndef COCA_COMPILED
#include "coca/core/target-inl.hpp"
#endif
