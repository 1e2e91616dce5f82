#pragma once

#include <limits>
#include <vector>

#include "call.hpp"

/// Calls of merge and rotate.
namespace bits {

template <class T, class L>
void merge(Call& call) {
  Random& choose = call.choose;
  const Shape shape{choose.integer(0, 2), choose.integer(0, 150), choose.integer(1, 4),
                    choose.integer(1, 90)};
  const Shape lse_shape{shape[0], shape[2], shape[1], 1};
  const bool any_layout = choose.one_in(2);
  Tensor<T> a(shape, choose, any_layout), b(shape, choose, any_layout);
  Tensor<L> lse_a(lse_shape, choose, false), lse_b(lse_shape, choose, false);
  a.fill(choose, 2.0F);
  b.fill(choose, 2.0F);
  lse_a.fill(choose, 20.0F);
  lse_b.fill(choose, 20.0F);
  if (choose.one_in(3)) {
    lse_a.poison(choose);
    lse_b.poison(choose);
    a.poison(choose);
  }
  // A part that saw no key.
  constexpr L nothing = -std::numeric_limits<L>::infinity();
  if (lse_a.size() > 0 && choose.one_in(2)) lse_a.view()(0, 0, 0, 0) = nothing;
  if (lse_b.size() > 0 && choose.one_in(2)) lse_b.view()(0, 0, 0, 0) = nothing;
  const auto rows = [](auto& lse) {
    const auto all = lse.view();
    return coca::View<L, 3>(all.data, {all.shape[0], all.shape[1], all.shape[2]});
  };
  call.run(
      [&] { coca::merge(a.view(), rows(lse_a), b.view(), rows(lse_b), device(choose.one_in(2))); });
  a.add_to(call.hash);
  lse_a.add_to(call.hash);
}

template <class T>
void rotate(Call& call) {
  Random& choose = call.choose;
  const Index dim = 2 * choose.integer(1, 70);
  const coca::Rope rope = make_rope(choose, dim);
  const Shape shape{choose.integer(0, 2), choose.integer(0, 200), choose.integer(1, 3), dim};
  const bool any_layout = choose.one_in(2);
  Tensor<T> x(shape, choose, any_layout), out(shape, choose, any_layout);
  x.fill(choose, 2.0F);
  if (choose.one_in(8)) x.poison(choose);
  coca::TokenPositions positions;
  positions.first = choose.pick<Position>({0, 0, -50, 1000000});
  std::vector<Position> ids(static_cast<std::size_t>(shape[0] * shape[1]));
  for (Position& id : ids) id = choose.integer(-1000, 100000);
  if (choose.one_in(3)) positions.ids = {ids.data(), {shape[0], shape[1]}};
  const bool in_place = choose.one_in(3);
  const bool two = choose.one_in(2);
  call.run([&] {
    if (in_place) {
      coca::rotate(x.view(), rope, positions, device(two));
    } else {
      coca::rotate(out.view(), x.view(), rope, positions, device(two));
    }
  });
  x.add_to(call.hash);
  out.add_to(call.hash);
}

}  // namespace bits
