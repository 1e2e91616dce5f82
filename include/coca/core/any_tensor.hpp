#pragma once

#include <array>
#include <concepts>
#include <cstddef>

#include "coca/core/scalar.hpp"
#include "coca/core/view.hpp"

/// Tensors whose element type is known when the program runs, not when it is compiled: one kernel
/// serves float, bfloat16 and half in any combination.
namespace coca::inline v0::detail {

template <Element T>
inline constexpr ElementType kElementType =
    std::same_as<T, float>             ? ElementType::float32
    : std::same_as<T, double>          ? ElementType::float64
    : std::same_as<T, Eigen::bfloat16> ? ElementType::bfloat16
                                       : ElementType::float16;

/// A TensorView, its element type a value. Byte is std::byte, or const std::byte for an input.
template <class Byte>
struct AnyTensor {
  Byte* data;
  ElementType type;
  std::array<Index, 4> shape;
  std::array<Index, 4> strides;  ///< in elements

  AnyTensor(Byte* first, ElementType element, const std::array<Index, 4>& extents,
            const std::array<Index, 4>& steps)
      : data(first), type(element), shape(extents), strides(steps) {}

  template <class T>
  AnyTensor(const TensorView<T>& x)
      : data(reinterpret_cast<Byte*>(x.data)),
        type(kElementType<std::remove_const_t<T>>),
        shape(x.shape),
        strides(x.strides) {}

  bool empty() const { return TensorView<Byte>(data, shape, strides).empty(); }
};
using AnyInput = AnyTensor<const std::byte>;
using AnyOutput = AnyTensor<std::byte>;

/// The tensors of a call.
struct Tensors {
  AnyOutput out;
  AnyInput q;
  AnyInput k;
  AnyInput v;
};

/// Bytes of one element.
template <class Byte>
Index element_bytes(const AnyTensor<Byte>& x) {
  return coca::element_bytes(x.type);
}

}  // namespace coca::inline v0::detail
