#pragma once

#include <Eigen/Core>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <type_traits>

/// The number types: what may be stored, and what is computed with.
namespace coca::inline v0 {

/// Sizes, strides and offsets, in elements.
using Index = std::ptrdiff_t;

/// A place in the sequence, in tokens. Negative positions are allowed.
using Position = std::int64_t;

/// What a tensor may hold.
template <class T>
concept Element = std::same_as<T, float> || std::same_as<T, double> ||
    std::same_as<T, Eigen::bfloat16> || std::same_as<T, Eigen::half>;

/// The same and int8, where what a tensor or a cache holds is known when the program runs.
enum class ElementType : unsigned char {
  float32,   ///< float
  float64,   ///< double
  bfloat16,  ///< Eigen::bfloat16, the upper half of a float
  float16,   ///< Eigen::half, IEEE 754 binary16
  int8,      ///< std::int8_t, in a cache with a factor a row
};

/// Bytes of one element.
constexpr Index element_bytes(ElementType type) {
  switch (type) {
    case ElementType::float64:
      return 8;
    case ElementType::float32:
      return 4;
    case ElementType::int8:
      return 1;
    default:
      return 2;
  }
}

/// What the library computes in.
template <class T>
concept Real = std::same_as<T, float> || std::same_as<T, double>;

/// Types that may meet in one call: all double, or none. A double beside a narrower type is almost
/// always a slip, and would silently compute at twice the cost.
template <class... Ts>
concept Compatible = (Element<Ts> && ...) &&
                     ((std::same_as<Ts, double> && ...) || (!std::same_as<Ts, double> && ...));

/// The type sums are kept in: double for double, float for float, bfloat16 and half.
template <class T>
using Accumulator = std::conditional_t<std::same_as<T, double>, double, float>;

}  // namespace coca::inline v0
