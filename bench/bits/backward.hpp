#pragma once

#include <vector>

#include "call.hpp"

/// Calls of attention_backward.
namespace bits {

/// T: the types of attention's call; gradients are in T's O.
template <class S, class M, class T>
void go_back(Call& call) {
  Random& choose = call.choose;
  const Sizes sizes(choose);
  const auto made = Maker<S>::make(choose, sizes.dim, sizes.batch);
  MaskMaker masks(choose, sizes.masked());
  const M mask = masks.template make<M>();
  Options more(choose);
  more.choose_places();
  if (!kHasCeiling<S>) more.choose_ids(sizes.batch, sizes.queries, sizes.keys);
  more.choose_sinks(sizes.heads());
  const bool any_layout = choose.one_in(2);
  Operands<T> x(choose, sizes, made.key_dim, any_layout);

  using G = typename T::O;
  Tensor<G> dq(x.q.shape(), choose, any_layout), dk(x.k.shape(), choose, any_layout);
  Tensor<G> dv(x.v.shape(), choose, any_layout), dout(x.out.shape(), choose, any_layout);
  dout.fill(choose, 1.0F);
  std::vector<float> lse(static_cast<std::size_t>(sizes.batch * sizes.heads() * sizes.queries));
  const coca::View<float, 3> lse_view(lse.data(), {sizes.batch, sizes.heads(), sizes.queries});
  more.options.lse = lse_view;

  coca::MoreGradients gradients;
  std::vector<double> sinks(static_cast<std::size_t>(sizes.heads()), -77.0);
  // A variant or an optional view, by the version of the library.
  const bool has_sinks = [](const auto& given) {
    if constexpr (requires { given.index(); }) {
      return given.index() != 0;
    } else {
      return static_cast<bool>(given);
    }
  }(more.options.sinks);
  if (has_sinks && choose.one_in(2)) {
    gradients.sinks = coca::View<double, 1>(sinks.data(), {sizes.heads()});
  }
  std::vector<float> bias;
  if (choose.one_in(3)) {
    Shape shape{sizes.batch, sizes.heads(), sizes.queries, sizes.keys};
    for (Index& extent : shape) extent = choose.one_in(3) ? 1 : extent;
    bias.assign(static_cast<std::size_t>(shape[0] * shape[1] * shape[2] * shape[3]), -77.0F);
    gradients.bias = coca::View<float, 4>(bias.data(), shape);
  }
  const auto q = x.q.view();
  const auto k = x.k.view();
  const auto v = x.v.view();
  call.run([&] {
    coca::attention(x.out.view(), q, k, v, made.scheme, mask, more.options, more.device());
    if constexpr (std::is_same_v<S, coca::Dot>) {
      if (choose.one_in(8)) {
        more.give_workspace(coca::backward_workspace_bytes(q, k, v, made.scheme, more.device()));
      }
    }
    coca::attention_backward(dq.view(), dk.view(), dv.view(), dout.view(), q, k, v, x.out.view(),
                             lse_view, made.scheme, mask, more.options, gradients, more.device());
  });
  dq.add_to(call.hash);
  dk.add_to(call.hash);
  dv.add_to(call.hash);
  call.hash.add_numbers(sinks.data(), sinks.size());
  call.hash.add_numbers(bias.data(), bias.size());
}

}  // namespace bits
