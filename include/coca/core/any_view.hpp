#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <type_traits>

#include "coca/core/scalar.hpp"
#include "coca/core/view.hpp"

namespace coca::inline v0 {

/// A view of float or of double, whichever the caller has; or none. Byte is std::byte, or const std::byte for a view
/// to read from.
template <class Byte, int Rank>
class AnyView {
  template <class T>
  static constexpr bool kTakes = Real<std::remove_const_t<T>> &&
                                 (std::is_const_v<Byte> || !std::is_const_v<T>);

 public:
  Byte* data = nullptr;                            ///< the element at index 0 of every axis
  ElementType type = ElementType::float32;         ///< float32 or float64
  std::array<Index, std::size_t{Rank}> shape{};    ///< extents, in elements
  std::array<Index, std::size_t{Rank}> strides{};  ///< in elements

  /// None.
  AnyView() = default;
  /// A view of float or of double.
  template <class T>
    requires(kTakes<T>)
  AnyView(const View<T, Rank>& view)
      : data(reinterpret_cast<Byte*>(view.data)),
        type(std::same_as<std::remove_const_t<T>, float> ? ElementType::float32
                                                         : ElementType::float64),
        shape(view.shape),
        strides(view.strides),
        given_(true) {}

  /// Whether there is a view.
  explicit operator bool() const { return given_; }
  /// Whether an extent is 0.
  bool empty() const { return View<Byte, Rank>(data, shape, strides).empty(); }

  /// The number at one index per axis.
  template <std::convertible_to<Index>... I>
  double operator()(I... at) const {
    const Index i = offset({static_cast<Index>(at)...});
    if (type == ElementType::float32)
      return static_cast<double>(reinterpret_cast<const float*>(data)[i]);
    return reinterpret_cast<const double*>(data)[i];
  }
  /// Rounds the number to the type of the view, and writes it.
  template <std::convertible_to<Index>... I>
  void set(double number, I... at) const requires(!std::is_const_v<Byte>) {
    const Index i = offset({static_cast<Index>(at)...});
    if (type == ElementType::float32) {
      reinterpret_cast<float*>(data)[i] = static_cast<float>(number);
    } else {
      reinterpret_cast<double*>(data)[i] = number;
    }
  }
  /// Adds the number in the type of the view.
  template <std::convertible_to<Index>... I>
  void add(double number, I... at) const requires(!std::is_const_v<Byte>) {
    const Index i = offset({static_cast<Index>(at)...});
    if (type == ElementType::float32) {
      reinterpret_cast<float*>(data)[i] += static_cast<float>(number);
    } else {
      reinterpret_cast<double*>(data)[i] += number;
    }
  }

  /// Calls use(View<T, Rank>) with the view as it was given; nothing if there is none.
  template <class Use>
  void with_view(const Use& use) const {
    if (!given_) return;
    using Float = std::conditional_t<std::is_const_v<Byte>, const float, float>;
    using Double = std::conditional_t<std::is_const_v<Byte>, const double, double>;
    if (type == ElementType::float32) {
      use(View<Float, Rank>(reinterpret_cast<Float*>(data), shape, strides));
    } else {
      use(View<Double, Rank>(reinterpret_cast<Double*>(data), shape, strides));
    }
  }

 private:
  Index offset(const std::array<Index, std::size_t{Rank}>& at) const {
    Index sum = 0;
    for (std::size_t axis = 0; axis < std::size_t{Rank}; ++axis) sum += at[axis] * strides[axis];
    return sum;
  }

  bool given_ = false;
};

/// A view to read from.
template <int Rank>
using AnyInputView = AnyView<const std::byte, Rank>;
/// A view to write to.
template <int Rank>
using AnyOutputView = AnyView<std::byte, Rank>;

}  // namespace coca::inline v0
