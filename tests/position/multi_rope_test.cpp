#include "coca/position/multi_rope.hpp"

#include <array>
#include <cmath>

#include "coca/extern.hpp"
#include "coca/scheme/coca.hpp"
#include "coca/scheme/rotary.hpp"
#include "support/bounds.hpp"
#include "support/catch.hpp"
#include "support/forms.hpp"
#include "support/random.hpp"

namespace {

using namespace test;
using coca::MultiRope;
using coca::Position;
using coca::Rope;

constexpr std::array<Index, 3> kSections{3, 2, 3};

/// Positions [axes, batch, tokens], of no order.
std::vector<Position> random_ids(Index count, Random& random) {
  std::vector<Position> ids(static_cast<std::size_t>(count));
  for (Position& id : ids) id = random.integer(0, 900);
  return ids;
}

}  // namespace

TEST_CASE("axes of pairs", "[position]") {
  CHECK(coca::axes_by_section(kSections) == std::vector<Index>{0, 0, 0, 1, 1, 2, 2, 2});
  CHECK(coca::axes_in_turn(kSections) == std::vector<Index>{0, 1, 2, 0, 1, 2, 0, 0});
}

TEST_CASE("with the same id on all axes it is a rope", "[position]") {
  Random random(62);
  const Rope rope({.dim = 20, .rotary_dim = 16});
  std::vector<Position> ids(3 * 40);
  for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<Position>(i % 40);
  const MultiRope multi(rope, coca::axes_by_section(kSections), {ids.data(), {3, 1, 40}});
  std::vector<double> q(20), k(20), t(10);
  for (double& x : q) x = random.uniform();
  for (double& x : k) x = random.uniform();
  for (double& x : t) x = std::fabs(random.uniform());
  // Behind its ids it goes on, and before them too.
  for (const auto& [m, n] : {std::pair<Index, Index>{30, 7}, {55, 39}, {5, -3}}) {
    CHECK(score<double>(coca::Rotary{multi}, q, m, k, n) ==
          score<double>(coca::Rotary{rope}, q, m, k, n));
    CHECK(score<double>(coca::CocaStrict{multi}, q, m, t, n) ==
          score<double>(coca::CocaStrict{rope}, q, m, t, n));
    CHECK(score<double>(coca::CocaSlack{multi}, q, m, t, n) ==
          score<double>(coca::CocaSlack{rope}, q, m, t, n));
    CHECK(score<double>(coca::CocaConstrained{multi, coca::RawProjection{}}, q, m, k, n) ==
          score<double>(coca::CocaConstrained{rope, coca::RawProjection{}}, q, m, k, n));
  }
}

TEST_CASE("every pair turns by its axis, in attention", "[position]") {
  Random random(63);
  const Index tokens = 150;
  const Rope rope({.dim = 16});
  const std::vector<Position> ids = random_ids(3 * 2 * tokens, random);
  const std::vector<Index> axes = coca::axes_in_turn(kSections);
  const coca::View<const Position, 3> view(ids.data(), {3, 2, tokens});
  Tensor<double> q({2, tokens, 2, 16}), k({2, tokens, 1, 16}), v({2, tokens, 1, 16}),
      out({2, tokens, 2, 16}), expected({2, tokens, 2, 16});
  for (auto* x : {&q, &k, &v}) x->fill([&] { return random.uniform(); });
  coca::attention(out.view(), q.view(), k.view(), v.view(),
                  coca::Rotary{MultiRope(rope, axes, view)}, coca::Causal{});

  // Turned by hand.
  const auto turn = [&](Tensor<double>& x) {
    const auto all = x.view();
    for (Index b = 0; b < 2; ++b) {
      for (Index n = 0; n < tokens; ++n) {
        for (Index h = 0; h < all.shape[2]; ++h) {
          for (Index j = 0; j < 8; ++j) {
            const double angle =
                static_cast<double>(view(axes[static_cast<std::size_t>(j)], b, n)) *
                rope.inv_freq()[static_cast<std::size_t>(j)];
            double& x_first = all(b, n, h, j);
            double& x_second = all(b, n, h, 8 + j);
            const double first = x_first * std::cos(angle) - x_second * std::sin(angle);
            x_second = x_second * std::cos(angle) + x_first * std::sin(angle);
            x_first = first;
          }
        }
      }
    }
  };
  turn(q);
  turn(k);
  coca::attention(expected.view(), q.view(), k.view(), v.view(), coca::Dot{}, coca::Causal{});
  CHECK(largest_difference(out, expected) <= 1e-12);
}

TEST_CASE("generated tokens go on from the largest id", "[position]") {
  // Text, an image of 2 x 3 at time 2, and text from 5 on: Qwen2-VL's counting.
  const std::vector<Position> ids{0, 1, 2, 2, 2, 2, 2, 2, 5,   // time
                                  0, 1, 2, 2, 2, 3, 3, 3, 5,   // rows
                                  0, 1, 2, 3, 4, 2, 3, 4, 5};  // columns
  const MultiRope rope(Rope({.dim = 16}), coca::axes_by_section(kSections),
                       {ids.data(), {3, 1, 9}});
  const MultiRope::Place image = rope.place(7, 0);
  CHECK((image[0] == 2 && image[1] == 3 && image[2] == 4));
  for (const Index batch : {0, 1}) {
    const MultiRope::Place next = rope.place(9, batch);
    CHECK((next[0] == 6 && next[1] == 6 && next[2] == 6));
    CHECK(rope.place(12, batch)[1] == 9);
  }
}

TEST_CASE("wrong axes are named", "[position]") {
  const std::vector<Position> ids(3 * 4);
  const coca::View<const Position, 3> view(ids.data(), {3, 1, 4});
  const Rope rope({.dim = 4});
  CHECK_THROWS_WITH(MultiRope(rope, {0}, view),
                    "coca: axes.size is 1, expected 2 (rotary_dim / 2)");
  CHECK_THROWS_WITH(MultiRope(rope, {0, 3}, view),
                    "coca: axes is 3, expected from 0 to 2, as ids has them");
  CHECK_THROWS_WITH(MultiRope(rope, {0, 0}, {ids.data(), {6, 1, 2}}),
                    "coca: ids.shape[0] (axes) is 6, expected from 1 to 4");
}
