#pragma once

#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include "coca/coca.hpp"
#include "random.hpp"

/// Tensors with any layout. What no kernel depends on is not inlined here and beside: hundreds of calls
/// would each have a copy to compile.
namespace bits {

using Shape = std::array<Index, 4>;

/// Owns the elements of a [batch, sequence, heads, width] tensor: its axes in any order in memory, with
/// gaps between rows, or with an axis that runs backwards.
template <class T>
class Tensor {
 public:
  /// Row-major without gaps, unless `any_layout`.
  [[gnu::noinline]] Tensor(const Shape& shape, Random& choose, bool any_layout) : shape_(shape) {
    std::array<std::size_t, 4> order{0, 1, 2, 3};
    Index gap = 0;
    if (any_layout) {
      for (std::size_t i = 3; i > 0; --i) {
        std::swap(order[i], order[static_cast<std::size_t>(choose.integer(0, Index(i)))]);
      }
      if (choose.one_in(2)) order = {0, 1, 2, 3};
      gap = choose.integer(0, 5);
      first_ = choose.integer(0, 7);
    }
    Index step = 1;
    for (std::size_t i = 4; i-- > 0;) {
      strides_[order[i]] = step;
      step = step * std::max<Index>(shape_[order[i]], 1) + (i == 3 ? gap : 0);
    }
    storage_.assign(static_cast<std::size_t>(first_ + step), T(-77.0F));
    if (any_layout && choose.one_in(6)) {
      const auto axis = static_cast<std::size_t>(choose.integer(0, 2));
      first_ += std::max<Index>(shape_[axis] - 1, 0) * strides_[axis];
      strides_[axis] = -strides_[axis];
    }
  }

  coca::View<T, 4> view() { return {storage_.data() + first_, shape_, strides_}; }
  /// Without the batch axis, of which there must be one entry.
  coca::View<T, 3> packed() {
    return {storage_.data() + first_,
            {shape_[1], shape_[2], shape_[3]},
            {strides_[1], strides_[2], strides_[3]}};
  }
  const Shape& shape() const { return shape_; }
  Index size() const { return shape_[0] * shape_[1] * shape_[2] * shape_[3]; }

  /// Numbers in [-magnitude, magnitude), or in [0, magnitude).
  [[gnu::noinline]] void fill(Random& choose, float magnitude, bool negative = true) {
    for (T& x : storage_) {
      const float number = choose.unit() * magnitude;
      x = T(negative ? number : std::fabs(number));
    }
  }
  /// Makes one number NaN or infinite.
  [[gnu::noinline]] void poison(Random& choose) {
    if (size() == 0) return;
    constexpr float inf = std::numeric_limits<float>::infinity();
    const auto at = [&](std::size_t axis) { return choose.integer(0, shape_[axis] - 1); };
    const Index b = at(0), n = at(1), h = at(2), i = at(3);
    view()(b, n, h, i) = T(choose.pick({std::numeric_limits<float>::quiet_NaN(), inf, -inf}));
  }
  /// All memory, gaps included: they must stay as they are.
  [[gnu::noinline]] void add_to(Hash& hash) const {
    hash.add_numbers(storage_.data(), storage_.size());
  }

 private:
  Shape shape_;
  std::array<Index, 4> strides_{};
  Index first_ = 0;
  std::vector<T> storage_;
};

/// A device with one thread or two.
inline const Eigen::ThreadPoolDevice& device(bool two) {
  static Eigen::ThreadPool pool(2);
  static const Eigen::ThreadPoolDevice alone(&pool, 1), both(&pool, 2);
  return two ? both : alone;
}

}  // namespace bits
