#pragma once

#include <array>
#include <cmath>
#include <string_view>
#include <type_traits>

#include "coca/core/aligned.hpp"
#include "coca/core/error.hpp"
#include "coca/core/parallel.hpp"
#include "coca/core/view.hpp"
#include "coca/kernel/softmax.hpp"

/// Combining attention over disjoint sets of keys.
namespace coca::inline v0 {

namespace detail {

template <class T, Real L>
void merge_views(TensorView<T> out_a, View<L, 3> lse_a, TensorView<const T> out_b,
                 View<const L, 3> lse_b, const AnyDevice& device) {
  const auto& shape = out_a.shape;
  if (out_b.shape != shape) {
    reject("out_b", "of shape " + list_text(out_b.shape), "that of out_a, " + list_text(shape));
  }
  const std::array<Index, 3> lse_shape{shape[0], shape[2], shape[1]};
  const auto check_lse = [&](std::string_view name, const std::array<Index, 3>& was) {
    if (was == lse_shape) return;
    reject(name, "of shape " + list_text(was),
           "[batch, heads, sequence] = " + list_text(lse_shape));
  };
  check_lse("lse_a", lse_a.shape);
  check_lse("lse_b", lse_b.shape);
  check_aligned("out_a", out_a);
  check_aligned("lse_a", lse_a);
  check_aligned("out_b", out_b);
  check_aligned("lse_b", lse_b);

  // A thread takes longer to wake than to merge this many numbers.
  constexpr double worth_a_thread = 1e5;
  const double numbers = static_cast<double>(TensorView<T>(nullptr, shape).size());
  const int workers = device.workers_for(numbers / worth_a_thread);
  parallel_for(device, workers, shape[0] * shape[1], [&](int, Index item) {
    const Index b = item / shape[1];
    const Index n = item % shape[1];
    for (Index h = 0; h < shape[2]; ++h) {
      const L a_lse = lse_a(b, h, n);
      const L b_lse = lse_b(b, h, n);
      // Where neither saw a key both are -inf and so is the result; no -inf - (-inf) is taken.
      if (b_lse == kMinusInfinity<L>) continue;
      const L top = a_lse > b_lse ? a_lse : b_lse;
      const L a_share = a_lse == kMinusInfinity<L> ? L(0) : std::exp(a_lse - top);
      const L b_share = std::exp(b_lse - top);
      const L sum = a_share + b_share;
      for (Index i = 0; i < shape[3]; ++i) {
        T& a = out_a(b, n, h, i);
        using R = Accumulator<T>;
        const auto from_a = a_share == L(0) ? R(0) : static_cast<R>(a_share) * static_cast<R>(a);
        const auto from_b = static_cast<R>(b_share) * static_cast<R>(out_b(b, n, h, i));
        a = static_cast<T>((from_a + from_b) / static_cast<R>(sum));
      }
      lse_a(b, h, n) = top + std::log(sum);
    }
  });
}

}  // namespace detail

/// Attention over the union of two disjoint sets of keys, from the outputs and log-sum-exps over
/// each. With lse = log(exp(lse_a) + exp(lse_b)),
///     out_a <- out_a exp(lse_a - lse) + out_b exp(lse_b - lse),   lse_a <- lse.
/// Exact up to rounding, so a sequence of keys may be split anywhere: over threads, caches,
/// machines (FlashDecoding; Dao et al. 2023). Outputs are [batch, sequence, heads, value_dim] of
/// one type, log-sum-exps [batch, heads, sequence] in float or double, natural logarithm. A sink
/// belongs to one of the parts only. The device is as for coca::attention. Throws
/// std::invalid_argument if the shapes do not agree.
template <TensorLike OutA, class LseA, TensorLike OutB, class LseB, Device D = Eigen::DefaultDevice>
void merge(OutA&& out_a, LseA&& lse_a, const OutB& out_b, const LseB& lse_b, const D& device = {}) {
  static_assert(std::is_same_v<ElementOf<OutA>, ElementOf<OutB>>,
                "coca::merge: out_a and out_b must have the same element type");
  static_assert(std::is_same_v<ElementOf<LseA>, ElementOf<LseB>>,
                "coca::merge: lse_a and lse_b must have the same element type");
  detail::merge_views<ElementOf<OutA>, ElementOf<LseA>>(tensor_view(out_a), view(lse_a),
                                                        tensor_view(out_b), view(lse_b), device);
}

}  // namespace coca::inline v0
