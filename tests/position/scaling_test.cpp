#include "coca/position/scaling.hpp"

#include <cmath>

#include "coca/position/clex.hpp"
#include "coca/position/llama3.hpp"
#include "coca/position/long_rope.hpp"
#include "coca/position/ntk.hpp"
#include "coca/position/rope.hpp"
#include "coca/position/yarn.hpp"
#include "support/catch.hpp"
#include "support/forms.hpp"
#include "support/random.hpp"

namespace {

using namespace test;
using coca::Rope;

Rope scaled(coca::RopeScaling scaling, coca::Index length = 0) {
  return Rope({.dim = 16, .scaling = std::move(scaling), .length = length});
}

}  // namespace

TEST_CASE("scalings by 1 change nothing", "[position]") {
  const Rope plain({.dim = 16});
  for (const Rope& rope : {scaled(coca::Linear{}), scaled(coca::NtkAware{}),
                           scaled(coca::DynamicNtk{.factor = 1.0, .trained_length = 64}),
                           scaled(coca::Yarn{.factor = 1.0, .trained_length = 64}),
                           scaled(coca::Llama3{.factor = 1.0}),
                           scaled(coca::LongRope{std::vector(8, 1.0), std::vector(8, 2.0), 64})}) {
    CHECK(std::ranges::equal(rope.inv_freq(), plain.inv_freq()));
    CHECK(rope.attention_factor() == 1.0);
  }
}

TEST_CASE("NTK-aware scaling interpolates the slowest pair, and leaves the fastest", "[position]") {
  const Rope plain({.dim = 16});
  const Rope rope = scaled(coca::NtkAware{8.0});
  CHECK(rope.inv_freq().front() == 1.0);
  CHECK(rope.inv_freq().back() == Approx(plain.inv_freq().back() / 8.0).epsilon(1e-14));
  // Of one pair, which has the frequency 1 whatever the base, nothing is left to scale.
  CHECK(Rope({.dim = 2, .scaling = coca::NtkAware{8.0}}).inv_freq()[0] == 1.0);
}

TEST_CASE("a rope follows the length, and keeps its table where nothing changes", "[position]") {
  const Rope dynamic = scaled(coca::DynamicNtk{.factor = 2.0, .trained_length = 100});
  const Rope within = dynamic.at_length(100);
  const Rope beyond = dynamic.at_length(300);
  CHECK(&within.table() == &dynamic.table());
  CHECK(&beyond.table() != &dynamic.table());
  CHECK(beyond.inv_freq().back() < dynamic.inv_freq().back());
  // The factor is 2 * 300 / 100 - 1.
  CHECK(std::ranges::equal(beyond.inv_freq(), scaled(coca::NtkAware{5.0}).inv_freq()));
  CHECK(std::ranges::equal(beyond.at_length(20).inv_freq(), dynamic.inv_freq()));

  const Rope fixed = scaled(coca::Linear{4.0});
  CHECK(&fixed.at_length(5000).table() == &fixed.table());
  const Rope plain({.dim = 16});
  CHECK(&plain.at_length(5000).table() == &plain.table());

  const Rope lists = scaled(coca::LongRope{std::vector(8, 1.0), std::vector(8, 2.0), 64});
  CHECK(&lists.at_length(64).table() == &lists.table());
  CHECK(lists.at_length(65).inv_freq()[3] == lists.inv_freq()[3] / 2.0);
  CHECK_THROWS_WITH(dynamic.at_length(-1), "coca: rope.length is -1, expected 0 or more tokens");
}

TEST_CASE("any function is a scaling", "[position]") {
  const Rope rope = scaled(
      [](const coca::RopeBase& base) {
        coca::RotaryFrequencies frequencies{base.frequencies(), 0.5};
        for (double& theta : frequencies.inv_freq) theta += static_cast<double>(base.length);
        return frequencies;
      },
      3);
  CHECK(rope.inv_freq()[0] == 4.0);
  CHECK(rope.at_length(7).inv_freq()[0] == 8.0);
  CHECK(rope.attention_factor() == 0.5);
}

TEST_CASE("the attention factor is on scores twice, of pairs that turn", "[position]") {
  const auto factor = [](const coca::RopeBase& base) {
    return coca::RotaryFrequencies{base.frequencies(), 1.25};
  };
  Random random(61);
  const Rope plain({.dim = 16});
  const Rope rope({.dim = 16, .scaling = factor});
  std::vector<double> q(16), k(16), t(8);
  for (double& x : q) x = random.uniform();
  for (double& x : k) x = random.uniform();
  for (double& x : t) x = std::fabs(random.uniform());
  const auto ratio = [&](const auto& with, const auto& without, const auto& key) {
    return score<double>(with, q, 700, key, 12) / score<double>(without, q, 700, key, 12);
  };
  CHECK(ratio(coca::Rotary{rope}, coca::Rotary{plain}, k) == Approx(1.5625).epsilon(1e-10));
  CHECK(ratio(coca::CocaStrict{rope}, coca::CocaStrict{plain}, t) == Approx(1.5625).epsilon(1e-10));
  CHECK(ratio(coca::CocaSlack{rope}, coca::CocaSlack{plain}, t) == Approx(1.5625).epsilon(1e-10));
  CHECK(ratio(coca::CocaConstrained{rope}, coca::CocaConstrained{plain}, t) ==
        Approx(1.5625).epsilon(1e-10));

  // Without a turn, half of the coordinates count 1.5625 times.
  const Rope half({.dim = 16, .rotary_dim = 8, .scaling = factor});
  double expected = 0.0;
  for (std::size_t i = 0; i < 16; ++i) expected += (i < 8 ? 1.5625 : 1.0) * q[i] * k[i];
  CHECK(score<double>(coca::Rotary{half}, q, 5, k, 5) == Approx(expected).epsilon(1e-12));
}

TEST_CASE("wrong scalings are named", "[position]") {
  CHECK_THROWS_WITH(scaled(coca::Linear{0.5}),
                    "coca: scaling.factor is 0.500000, expected 1.000000 or more, and finite");
  CHECK_THROWS_AS(scaled(coca::NtkAware{NAN}), std::invalid_argument);
  CHECK_THROWS_WITH(
      scaled(coca::DynamicNtk{.factor = 2.0}),
      "coca: scaling.trained_length is 0, expected the tokens the model was trained for");
  CHECK_THROWS_WITH(scaled(coca::Yarn{.factor = 2.0, .trained_length = 64, .beta_fast = 0.0}),
                    "coca: scaling.beta_fast is 0.000000, expected positive and finite");
  CHECK_THROWS_WITH(
      scaled(coca::Llama3{.high_freq_factor = 1.0}),
      "coca: scaling.high_freq_factor is 1.000000, expected more than low_freq_factor "
      "= 1.000000");
  CHECK_THROWS_WITH(scaled(coca::LongRope{std::vector(7, 1.0), std::vector(8, 1.0), 64}),
                    "coca: scaling.short_factor.size is 7, expected 8 (rotary_dim / 2)");
  CHECK_THROWS_WITH(scaled(coca::LongRope{std::vector(8, 1.0), std::vector(8, 0.0), 64}),
                    "coca: scaling.long_factor is 0.000000, expected positive and finite");
  CHECK_THROWS_WITH(scaled(coca::Clex{.up = std::vector(9, 1.0), .trained_length = 64}),
                    "coca: scaling.up.size is 9, expected a multiple of rotary_dim / 2 = 8");
  CHECK_THROWS_WITH(scaled(coca::Clex{.up = std::vector(16, 1.0), .trained_length = 64}),
                    "coca: scaling.down.size is 0, expected 16 (scaling.up.size)");
  CHECK_THROWS_WITH(Rope({.dim = 4, .inv_freq = {1.0, 0.1}, .scaling = coca::Linear{2.0}}),
                    "coca: rope.inv_freq is given beside a scaling, expected one of the two");
  CHECK_THROWS_WITH(scaled([](const coca::RopeBase&) { return coca::RotaryFrequencies{{1.0}}; }),
                    "coca: rope.inv_freq.size is 1, expected 8 (rotary_dim / 2)");
  CHECK_THROWS_WITH(scaled([](const coca::RopeBase& base) {
                      return coca::RotaryFrequencies{base.frequencies(), 0.0};
                    }),
                    "coca: rope.attention_factor is 0.000000, expected positive and finite");
}
