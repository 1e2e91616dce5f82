#pragma once

#include <type_traits>
#include <vector>

#include "coca/core/error.hpp"
#include "coca/core/scalar.hpp"
#include "coca/core/view.hpp"
#include "coca/position/rope.hpp"
#include "coca/position/token_positions.hpp"

/// RoPE by itself, for people who rotate their own tensors. The attention kernels do not need it:
/// they rotate what they load.
namespace coca::inline v0 {

namespace detail {

template <class T>
void rotate_views(TensorView<T> out, TensorView<const T> x, const Rope& rope,
                  const TokenPositions& positions) {
  if (out.shape != x.shape) {
    reject("out", "of shape " + list_text(out.shape), "that of x, " + list_text(x.shape));
  }
  require_equal("x.shape[3] (head_dim)", x.shape[3], rope.dim(), "rope.dim");
  positions.check("positions.ids", x.shape[0], x.shape[1]);
  using R = Accumulator<T>;
  const auto dim = static_cast<std::size_t>(rope.dim());
  std::vector<R> from(dim), to(dim);
  for (Index b = 0; b < x.shape[0]; ++b) {
    for (Index n = 0; n < x.shape[1]; ++n) {
      for (Index h = 0; h < x.shape[2]; ++h) {
        for (std::size_t i = 0; i < dim; ++i) {
          from[i] = static_cast<R>(x(b, n, h, static_cast<Index>(i)));
        }
        rope.map_pairs(positions(b, n), from.data(), to.data(), turn_pair<R>);
        for (std::size_t i = 0; i < dim; ++i) {
          out(b, n, h, static_cast<Index>(i)) = static_cast<T>(to[i]);
        }
      }
    }
  }
}

}  // namespace detail

/// out[b, n, h, :] = R_p x[b, n, h, :], p the position of token n (Su et al. 2021, equation 15).
/// out and x are [batch, sequence, heads, head_dim] of one type; they may be the same tensor but
/// not overlap otherwise. Throws std::invalid_argument for shapes that do not agree with each
/// other, rope.dim() or positions.ids.
template <TensorLike Out, TensorLike X>
void rotate(Out&& out, const X& x, const Rope& rope, const TokenPositions& positions = {}) {
  static_assert(std::is_same_v<ElementOf<Out>, ElementOf<X>>,
                "coca::rotate: out and x must have the same element type");
  using T = ElementOf<X>;
  static_assert(Element<T>, "coca::rotate: elements must be float, double, bfloat16 or half");
  detail::rotate_views<T>(tensor_view(out), tensor_view(x), rope, positions);
}

/// The same in place.
template <TensorLike X>
void rotate(X&& x, const Rope& rope, const TokenPositions& positions = {}) {
  rotate(x, x, rope, positions);
}

}  // namespace coca::inline v0
