#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <random>
#include <vector>

#include "coca/core/view.hpp"

/// Random numbers, sizes and tensors, the same on every machine.
namespace test {

using coca::Index;

class Random {
 public:
  explicit Random(std::uint64_t seed) : engine_(seed) {}

  /// Uniform in [low, high].
  Index integer(Index low, Index high) {
    const auto span = static_cast<std::uint64_t>(high - low + 1);
    return low + static_cast<Index>(engine_() % span);
  }
  /// Uniform in [-1, 1), in steps of 2^-20.
  double uniform() {
    return static_cast<double>(engine_() >> 43) / static_cast<double>(1 << 20) - 1.0;
  }
  template <class T, std::size_t N>
  T pick(const std::array<T, N>& choices) {
    return choices[static_cast<std::size_t>(integer(0, static_cast<Index>(N) - 1))];
  }
  template <class Container>
  void shuffle(Container& values) {
    for (std::size_t i = values.size(); i > 1; --i) {
      std::swap(values[i - 1],
                values[static_cast<std::size_t>(integer(0, static_cast<Index>(i) - 1))]);
    }
  }

 private:
  std::mt19937_64 engine_;
};

/// A tensor that owns its memory, with any order of its axes in memory and gaps between elements.
template <class T>
class Tensor {
 public:
  /// Row-major without gaps.
  explicit Tensor(std::array<Index, 4> shape) : Tensor(shape, {0, 1, 2, 3}, 1) {}

  /// Axes from the slowest to the fastest in memory; the fastest has stride `step`.
  Tensor(std::array<Index, 4> shape, std::array<std::size_t, 4> order, Index step) {
    layout_.shape = shape;
    Index stride = step;
    for (std::size_t i = 4; i-- > 0;) {
      layout_.strides[order[i]] = stride;
      stride *= std::max<Index>(shape[order[i]], 1);
    }
    storage_.assign(static_cast<std::size_t>(stride), static_cast<T>(kUntouched));
  }

  /// A random order of axes, and sometimes gaps.
  Tensor(std::array<Index, 4> shape, Random& random)
      : Tensor(shape, order(random), random.integer(1, 2)) {}

  coca::TensorView<T> view() { return {storage_.data(), layout_.shape, layout_.strides}; }
  coca::TensorView<const T> view() const {
    return {storage_.data(), layout_.shape, layout_.strides};
  }
  std::vector<T>& storage() { return storage_; }
  const std::vector<T>& storage() const { return storage_; }

  template <class Fill>
  Tensor& fill(Fill&& next) {
    const auto x = view();
    for_each(x.shape,
             [&](Index b, Index n, Index h, Index i) { x(b, n, h, i) = static_cast<T>(next()); });
    return *this;
  }

  template <class Visit>
  static void for_each(const std::array<Index, 4>& shape, Visit&& visit) {
    for (Index b = 0; b < shape[0]; ++b)
      for (Index n = 0; n < shape[1]; ++n)
        for (Index h = 0; h < shape[2]; ++h)
          for (Index i = 0; i < shape[3]; ++i) visit(b, n, h, i);
  }

  /// What memory holds before anything is written.
  static constexpr float kUntouched = -77.0F;

 private:
  static std::array<std::size_t, 4> order(Random& random) {
    std::array<std::size_t, 4> axes{0, 1, 2, 3};
    random.shuffle(axes);
    return axes;
  }

  coca::TensorView<T> layout_;
  std::vector<T> storage_;
};

/// The same numbers in double, without gaps.
template <class T>
Tensor<double> widened(const Tensor<T>& x) {
  Tensor<double> wide(x.view().shape);
  const auto from = x.view();
  const auto to = wide.view();
  Tensor<T>::for_each(from.shape, [&](Index b, Index n, Index h, Index i) {
    to(b, n, h, i) = static_cast<double>(from(b, n, h, i));
  });
  return wide;
}

}  // namespace test
