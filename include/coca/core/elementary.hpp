#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "coca/core/scalar.hpp"

/// exp and tanh without branches or tables, so that a plain loop over them becomes vector code.
namespace coca::inline v0::detail {

template <Real T>
struct FloatLayout;
template <>
struct FloatLayout<float> {
  using Bits = std::uint32_t;
  static constexpr int mantissa = 23;
  static constexpr float round = 12582912.0F;  // 1.5 * 2^23: adding it rounds to an integer
  static constexpr float lowest_exponent = -126.0F;
  static constexpr float log2_e = 1.44269504088896341F;
  // ln 2 in two parts; the first has so few bits that its product with an exponent is exact.
  static constexpr float ln2_high = 0.693359375F;
  static constexpr float ln2_low = -2.12194440054690583e-4F;
};
template <>
struct FloatLayout<double> {
  using Bits = std::uint64_t;
  static constexpr int mantissa = 52;
  static constexpr double round = 6755399441055744.0;  // 1.5 * 2^52
  static constexpr double lowest_exponent = -1022.0;
  static constexpr double log2_e = 1.4426950408889634074;
  static constexpr double ln2_high = 6.93145751953125e-1;
  static constexpr double ln2_low = 1.42860682030941723212e-6;
};

/// exp(r) for |r| <= ln(2)/2: its Taylor polynomial, long enough that the first term left out is
/// below half an ulp (r^8/8! < 6e-9 for float, r^14/14! < 5e-18 for double).
inline float exp_reduced(float r) {
  float p = 1.0F / 5040.0F;
  p = p * r + 1.0F / 720.0F;
  p = p * r + 1.0F / 120.0F;
  p = p * r + 1.0F / 24.0F;
  p = p * r + 1.0F / 6.0F;
  p = p * r + 0.5F;
  return (p * r) * r + r + 1.0F;
}
inline double exp_reduced(double r) {
  double p = 1.0 / 6227020800.0;
  p = p * r + 1.0 / 479001600.0;
  p = p * r + 1.0 / 39916800.0;
  p = p * r + 1.0 / 3628800.0;
  p = p * r + 1.0 / 362880.0;
  p = p * r + 1.0 / 40320.0;
  p = p * r + 1.0 / 5040.0;
  p = p * r + 1.0 / 720.0;
  p = p * r + 1.0 / 120.0;
  p = p * r + 1.0 / 24.0;
  p = p * r + 1.0 / 6.0;
  p = p * r + 0.5;
  return (p * r) * r + r + 1.0;
}

/// exp(x) for x <= 0, which is all that softmax asks for; within 2 ulp. Results below the smallest
/// normal number are 0, so exp(-inf) is exactly 0; NaN gives NaN.
template <Real T>
inline T exp_nonpositive(T x) {
  using Layout = FloatLayout<T>;
  using Bits = typename Layout::Bits;
  // x = n ln 2 + r. The rounded sum holds n in its low mantissa bits, even for x out of range,
  // where the result is replaced below.
  const T shifted = x * Layout::log2_e + Layout::round;
  const T n = shifted - Layout::round;
  const T r = (x - n * Layout::ln2_high) - n * Layout::ln2_low;
  const Bits exponent =
      (std::bit_cast<Bits>(shifted) + Bits(std::numeric_limits<T>::max_exponent - 1))
      << Layout::mantissa;
  const T value = exp_reduced(r) * std::bit_cast<T>(exponent);
  return n < Layout::lowest_exponent ? T(0) : value;
}

/// tanh(x), for the soft-cap: within 2 ulp in float, the standard library's in double. Near 0,
/// where 1 - 2/(e^2x + 1) would cancel, the odd polynomial is that of Moshier's Cephes library
/// (tanhf).
inline float tanh_branchless(float x) {
  const float magnitude = std::fabs(x);
  const float z = x * x;
  float p = -5.70498872745e-3F;
  p = p * z + 2.06390887954e-2F;
  p = p * z - 5.37397155531e-2F;
  p = p * z + 1.33314422036e-1F;
  p = p * z - 3.33332819422e-1F;
  const float small = (p * z) * x + x;
  const float decay = exp_nonpositive(-2.0F * magnitude);
  const float large = std::copysign((1.0F - decay) / (1.0F + decay), x);
  return magnitude < 0.625F ? small : large;
}
inline double tanh_branchless(double x) { return std::tanh(x); }

}  // namespace coca::inline v0::detail
