#pragma once

#include <cstddef>

#include "coca/attention_backward.hpp"
#include "coca/core/parallel.hpp"
#include "coca/core/view.hpp"
#include "coca/core/workspace.hpp"
#include "coca/distance_ceiling.hpp"

/// Training under a ceiling on the distance.
namespace coca::inline v0 {

namespace detail {

/// to += x, elementwise.
template <class T>
void add_to(const TensorView<T>& to, const TensorView<T>& x, const AnyDevice& device) {
  using R = Accumulator<T>;
  const auto& shape = to.shape;
  // A thread takes longer to wake than to add this many numbers.
  constexpr double worth_a_thread = 1e5;
  parallel_for(device, device.workers_for(static_cast<double>(x.size()) / worth_a_thread),
               shape[0] * shape[1], [&](int, Index item) {
                 const Index b = item / shape[1];
                 const Index n = item % shape[1];
                 for (Index h = 0; h < shape[2]; ++h) {
                   for (Index i = 0; i < shape[3]; ++i) {
                     T& sum = to(b, n, h, i);
                     sum = static_cast<T>(static_cast<R>(sum) + static_cast<R>(x(b, n, h, i)));
                   }
                 }
               });
}

}  // namespace detail

/// coca::attention_backward with a ceiling on the distance: out and lse are those that
/// coca::attention gave with it. The gradients by near keys and by far ones add up; the calling thread
/// keeps memory for the latter, which is as large as all gradients. Those narrower than float are rounded
/// twice.
template <class DQ, class DK, class DV, TensorLike DOut, class Q, class K, class V, TensorLike Out,
          detail::Viewable Lse, class S, class M = Full, class D = Eigen::DefaultDevice>
void attention_backward(DQ&& dq, DK&& dk, DV&& dv, const DOut& dout, const Q& q, const K& k,
                        const V& v, const Out& out, const Lse& lse,
                        const DistanceCeiling<S>& scheme, const M& mask = {},
                        const AttentionOptions& options = {}, const MoreGradients& more = {},
                        const D& device = {}) {
  using namespace detail;
  if constexpr (checked_backward_types<DQ, DK, DV, const Q, const K, const V, S, M, D>()) {
    check_places(options);
    const Position ceiling = lowest(scheme);
    attention_backward(dq, dk, dv, dout, q, k, v, out, lse, scheme.base(), near_keys(mask, ceiling),
                       options, more, device);
    if (farthest_key(options, tensor_view(q).shape[1], tensor_view(k).shape[1]) <= ceiling) return;

    auto far_dq = tensor_view(dq);
    auto far_dk = tensor_view(dk);
    auto far_dv = tensor_view(dv);
    MoreGradients far_more{.bias = more.bias};
    const auto lay_out = [&](Carver carver) {
      const auto take = [&]<class T>(View<T, 4>& x) {
        x = View<T, 4>(carver.take<T>(x.size()), x.shape);
      };
      take(far_dq);
      take(far_dk);
      take(far_dv);
      more.bias.with_view([&](auto bias) {
        take(bias);
        far_more.bias = bias;
      });
      return carver.bytes();
    };
    lay_out(Carver(far_arena().reserve(lay_out(Carver()))));
    // The sinks belong to near keys, as in the forward pass.
    AttentionOptions far_options = options;
    far_options.sinks = {};
    far_options.checked = false;
    attention_backward(far_dq, far_dk, far_dv, dout, q, k, v, out, lse, scheme.far(),
                       far_keys(mask, ceiling), far_options, far_more, device);
    add_to(tensor_view(dq), far_dq, device);
    add_to(tensor_view(dk), far_dk, device);
    add_to(tensor_view(dv), far_dv, device);
    more.bias.with_view([&]<class T>(const View<T, 4>& bias) {
      add_to(bias, View<T, 4>(reinterpret_cast<T*>(far_more.bias.data), far_more.bias.shape),
             device);
    });
  }
}

}  // namespace coca::inline v0
