#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#include "coca/core/scalar.hpp"

/// Vectors of numbers, written once for every instruction set: the vector extensions of GCC and
/// clang, of the width an instruction set asks for.
namespace coca::inline v0::detail {

/// `Bytes` bytes of T. Arithmetic, comparison and ?: work element by element.
template <Real T, int Bytes>
struct VectorType {
  typedef T type __attribute__((vector_size(Bytes)));
};

/// The vector of T that an instruction set works with, and what it can do.
template <class Isa, Real T>
struct Simd {
  static constexpr Index width = Isa::vector_bytes / static_cast<Index>(sizeof(T));
  using Vector = typename VectorType<T, Isa::vector_bytes>::type;
  using Bits = std::conditional_t<std::is_same_v<T, float>, std::int32_t, std::int64_t>;
  typedef Bits BitVector __attribute__((vector_size(Isa::vector_bytes)));

  [[gnu::always_inline]] static Vector load(const T* from) {
    Vector x;
    std::memcpy(&x, from, sizeof x);
    return x;
  }
  [[gnu::always_inline]] static void store(T* to, const Vector& x) { std::memcpy(to, &x, sizeof x); }
  /// Every element `value`. Written out: GCC makes a broadcast of this, and not of `value - 0`.
  [[gnu::always_inline]] static Vector all(T value) {
    return [&]<std::size_t... I>(std::index_sequence<I...>) __attribute__((always_inline)) {
      return Vector{(static_cast<void>(I), value)...};
    }(std::make_index_sequence<static_cast<std::size_t>(width)>{});
  }
};

}  // namespace coca::inline v0::detail
