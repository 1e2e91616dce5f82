#pragma once

#include <algorithm>
#include <type_traits>
#include <vector>

#include "coca/core/aligned.hpp"
#include "coca/core/error.hpp"
#include "coca/core/parallel.hpp"
#include "coca/core/scalar.hpp"
#include "coca/core/target.hpp"
#include "coca/core/view.hpp"
#include "coca/position/rope.hpp"
#include "coca/position/token_positions.hpp"

/// RoPE by itself, for people who rotate their own tensors. The attention kernels do not need it:
/// they rotate what they load.
namespace coca::inline v0 {

namespace detail {

/// A row as neighbours in R: where it is if it is that, else in `to`.
template <Real R, class T>
[[gnu::always_inline]] inline const R* neighbours(const T* row, Index step, Index width, R* to) {
  if constexpr (std::is_same_v<T, R>) {
    if (step == 1) return row;
  }
  for (Index i = 0; i < width; ++i) to[i] = static_cast<R>(row[i * step]);
  return to;
}
template <Real R, class T>
[[gnu::always_inline]] inline void spread(const R* from, T* row, Index step, Index width) {
  if constexpr (std::is_same_v<T, R>) {
    if (step == 1) return static_cast<void>(std::copy_n(from, width, row));
  }
  for (Index i = 0; i < width; ++i) row[i * step] = static_cast<T>(from[i]);
}

template <class T>
void rotate_views(TensorView<T> out, TensorView<const T> x, const Rope& rope,
                  const TokenPositions& positions, const AnyDevice& device) {
  if (out.shape != x.shape) {
    reject("out", "of shape " + list_text(out.shape), "that of x, " + list_text(x.shape));
  }
  require_equal("x.shape[3] (head_dim)", x.shape[3], rope.dim(), "rope.dim");
  positions.check("positions.ids", x.shape[0], x.shape[1]);
  check_aligned("out", out);
  check_aligned("x", x);
  using R = Accumulator<T>;
  constexpr Index tokens_per_item = 64;
  const Index dim = rope.dim(), tokens = x.shape[1];
  const Index items = (x.shape[0] * tokens + tokens_per_item - 1) / tokens_per_item;
  const int workers = device.workers_for(static_cast<double>(items));
  std::vector<R> rows(static_cast<std::size_t>(2 * dim * workers));
  parallel_for(device, workers, items, [&](int worker, Index item) {
    R* from = rows.data() + 2 * dim * worker;
    R* to = from + dim;
    const Index begin = item * tokens_per_item;
    const Index end = std::min(begin + tokens_per_item, x.shape[0] * tokens);
    on_target(
        target(), [&]() __attribute__((always_inline)) {
          for (Index i = begin; i < end; ++i) {
            const Index b = i / tokens, n = i % tokens;
            const Position at = positions(b, n);
            for (Index h = 0; h < x.shape[2]; ++h) {
              const R* row = neighbours(&x(b, n, h, 0), x.strides[3], dim, from);
              rope.map_pairs(at, row, to, turn_pair<R>);
              spread(to, &out(b, n, h, 0), out.strides[3], dim);
            }
          }
        });
  });
}

}  // namespace detail

/// out[b, n, h, :] = R_p x[b, n, h, :], p the position of token n (Su et al. 2021, equation 15).
/// out and x are [batch, sequence, heads, head_dim] of one type; they may be the same tensor but
/// not overlap otherwise. The device is an Eigen::DefaultDevice or Eigen::ThreadPoolDevice. Throws
/// std::invalid_argument for shapes that do not agree with each other, rope.dim() or positions.ids.
template <TensorLike Out, TensorLike X, Device D = Eigen::DefaultDevice>
void rotate(Out&& out, const X& x, const Rope& rope, const TokenPositions& positions = {},
            const D& device = {}) {
  static_assert(std::is_same_v<ElementOf<Out>, ElementOf<X>>,
                "coca::rotate: out and x must have the same element type");
  using T = ElementOf<X>;
  static_assert(Element<T>, "coca::rotate: elements must be float, double, bfloat16 or half");
  detail::rotate_views<T>(tensor_view(out), tensor_view(x), rope, positions, device);
}

/// The same in place.
template <TensorLike X, Device D = Eigen::DefaultDevice>
void rotate(X&& x, const Rope& rope, const TokenPositions& positions = {}, const D& device = {}) {
  rotate(x, x, rope, positions, device);
}

}  // namespace coca::inline v0
