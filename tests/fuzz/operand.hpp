#pragma once

#include <fuzzer/FuzzedDataProvider.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "coca/core/any_tensor.hpp"
#include "support/random.hpp"

/// Tensors of any type, order of axes and direction in memory of exactly their size, whose elements
/// are ordinary numbers but for some tokens.
namespace fuzz {

using coca::ElementType;
using coca::Index;
using Shape = std::array<Index, 4>;

/// Calls visit(X{}) with the type behind a name.
template <class Visit>
auto with_type(ElementType type, const Visit& visit) {
  switch (type) {
    case ElementType::float64:
      return visit(double{});
    case ElementType::bfloat16:
      return visit(Eigen::bfloat16{});
    case ElementType::float16:
      return visit(Eigen::half{});
    default:
      return visit(float{});
  }
}

/// What the fuzzer chooses; numbers that are many come from a generator that it seeds.
struct Choices {
  FuzzedDataProvider bytes;
  std::uint16_t seed;
  std::mt19937 values;

  Choices(const std::uint8_t* data, std::size_t size)
      : bytes(data, size), seed(bytes.ConsumeIntegral<std::uint16_t>()), values(seed) {}

  Index integer(Index low, Index high) { return bytes.ConsumeIntegralInRange(low, high); }
  bool one_in(Index n) { return integer(0, n - 1) == n - 1; }
  template <class T, std::size_t N>
  T pick(const std::array<T, N>& list) {
    return list[static_cast<std::size_t>(integer(0, N - 1))];
  }
  double unit() { return std::uniform_real_distribution<double>(-1.0, 1.0)(values); }
};

/// A number that is denormal in a type.
inline double denormal(ElementType type) {
  switch (type) {
    case ElementType::float64:
      return 1e-310;
    case ElementType::float16:
      return 1e-6;
    default:
      return 1e-40;
  }
}
/// An ordinary number: in [-1, 1], some of them 0 or denormal.
inline double ordinary(Choices& choose, ElementType type) {
  const auto kind = choose.values() % 16;
  if (kind == 0) return 0.0;
  if (kind == 1) return denormal(type);
  return choose.unit();
}
constexpr double kInfinity = std::numeric_limits<double>::infinity();
inline constexpr std::array kStrange{
    std::numeric_limits<double>::quiet_NaN(), kInfinity, -kInfinity, 1e30, -3e38, 6e4, 2e-38};
inline bool is_ordinary(double x) { return std::fabs(x) <= 1.0; }

class Operand {
 public:
  enum class Use { input, output };

  Operand(const Shape& shape, ElementType type, Use use, Choices& choose)
      : shape_(shape), type_(type) {
    std::array<std::size_t, 4> order{0, 1, 2, 3};
    for (std::size_t i = 3; i > 0; --i) std::swap(order[i], order[choose.values() % (i + 1)]);
    Index stride = choose.one_in(4) ? 2 : 1;
    Index low = 0;
    Index high = 0;
    for (const std::size_t axis : order) {
      const Index extent = std::max<Index>(shape[axis], 1);
      const bool same = use == Use::input && choose.values() % 16 == 0;
      strides_[axis] = same ? 0 : (choose.values() % 8 == 0 ? -stride : stride);
      const Index reach = (extent - 1) * strides_[axis];
      (reach < 0 ? low : high) += reach;
      if (!same) stride *= extent;
    }
    // Not on a vector's boundary; nothing behind the last element.
    offset_ = choose.integer(0, 3) - low;
    memory_.resize(static_cast<std::size_t>((offset_ + high + 1) * coca::element_bytes(type)));
  }

  const Shape& shape() const { return shape_; }
  ElementType type() const { return type_; }
  Index count() const { return shape_[0] * shape_[1] * shape_[2] * shape_[3]; }
  std::vector<std::byte>& memory() { return memory_; }
  std::byte* first() { return memory_.data() + offset_ * coca::element_bytes(type_); }

  template <class Byte>
  coca::detail::AnyTensor<Byte> view() {
    return {first(), type_, shape_, strides_};
  }

  /// Of the type that it has.
  template <class X>
  coca::TensorView<X> view_of() {
    return {reinterpret_cast<X*>(first()), shape_, strides_};
  }

  void set(const Shape& at, double value) {
    with_type(type_, [&]<class X>(X) { *place<X>(at) = static_cast<X>(value); });
  }
  double get(const Shape& at) {
    return with_type(type_, [&]<class X>(X) { return static_cast<double>(*place<X>(at)); });
  }
  template <class Visit>
  void for_each(const Visit& visit) const {
    test::Tensor<float>::for_each(shape_, [&](Index b, Index n, Index h, Index i) {
      visit(Shape{b, n, h, i});
    });
  }

  void fill(bool non_negative, Choices& choose) {
    for_each([&](const Shape& at) {
      const double x = ordinary(choose, type_);
      set(at, non_negative ? std::fabs(x) : x);
    });
  }
  /// Puts a strange number into some tokens.
  template <std::size_t N = kStrange.size()>
  void poison(Index tokens, Choices& choose, const std::array<double, N>& numbers = kStrange) {
    if (count() == 0) return;
    for (Index i = 0; i < tokens; ++i) {
      Shape at;
      for (std::size_t axis = 0; axis < 4; ++axis) at[axis] = choose.integer(0, shape_[axis] - 1);
      set(at, choose.pick(numbers));
    }
  }
  /// The numbers in double, those that are not ordinary as 0 if asked.
  test::Tensor<double> wide(bool strange_too) {
    test::Tensor<double> to(shape_);
    for_each([&](const Shape& at) {
      const double x = get(at);
      to.view()(at[0], at[1], at[2], at[3]) = strange_too || is_ordinary(x) ? x : 0.0;
    });
    return to;
  }
  bool ordinary_token(Index b, Index n, Index h) {
    for (Index i = 0; i < shape_[3]; ++i) {
      if (!is_ordinary(get({b, n, h, i}))) return false;
    }
    return true;
  }

  /// Marks the bytes of all elements.
  std::vector<bool> element_bytes() {
    std::vector<bool> mine(memory_.size(), false);
    for_each([&](const Shape& at) {
      with_type(type_, [&]<class X>(X) {
        const auto byte = reinterpret_cast<std::byte*>(place<X>(at)) - memory_.data();
        std::fill_n(mine.begin() + byte, sizeof(X), true);
      });
    });
    return mine;
  }

 private:
  template <class X>
  X* place(const Shape& at) {
    Index offset = offset_;
    for (std::size_t axis = 0; axis < 4; ++axis) offset += at[axis] * strides_[axis];
    return reinterpret_cast<X*>(memory_.data()) + offset;
  }

  Shape shape_;
  Shape strides_{};
  ElementType type_;
  Index offset_;
  std::vector<std::byte> memory_;
};

}  // namespace fuzz
