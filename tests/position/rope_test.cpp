#include "coca/position/rope.hpp"

#include <cmath>
#include <thread>

#include "support/catch.hpp"
#include "support/random.hpp"

using coca::Index;
using coca::Rope;
using coca::RopeLayout;

TEST_CASE("frequencies are base^(-2j/rotary_dim)", "[position]") {
  const Rope rope({.dim = 8, .base = 10000.0});
  REQUIRE(rope.inv_freq().size() == 4);
  CHECK(rope.inv_freq()[0] == 1.0);
  CHECK(rope.inv_freq()[1] == Approx(0.1));
  CHECK(rope.inv_freq()[3] == Approx(0.001));
  CHECK(Rope({.dim = 16, .base = 10000.0, .rotary_dim = 8}).inv_freq()[1] == Approx(0.1));
  CHECK(Rope({.dim = 4, .inv_freq = {0.5, 0.25}}).inv_freq()[1] == 0.25);
}

TEST_CASE("every layout pairs every coordinate once, in both maps", "[position]") {
  for (const auto layout : {RopeLayout::half_split, RopeLayout::interleaved}) {
    for (const coca::Index dim : {12, 70}) {
      for (coca::Index rotary_dim = 2; rotary_dim <= dim; rotary_dim += 10) {
        const Rope rope({.dim = dim, .rotary_dim = rotary_dim, .layout = layout});
        const auto size = static_cast<std::size_t>(dim);
        std::vector<double> from(size), halves(size / 2), x(size, -1.0), y(size, -1.0);
        for (std::size_t i = 0; i < size; ++i) from[i] = static_cast<double>(i);
        for (std::size_t j = 0; j < size / 2; ++j) halves[j] = static_cast<double>(j);
        // Both members of a pair become the pair's coordinates; then those that turn 100 more.
        rope.map_pairs(3, from.data(), x.data(),
                       [](double a, double b, double c, double, double& first, double& second) {
                         first = b + (c == 1.0 ? 0.0 : 100.0);
                         second = a + (c == 1.0 ? 0.0 : 100.0);
                       });
        rope.map_halves(3, halves.data(), y.data(),
                        [](double t, double c, double s, double& first, double& second) {
                          first = t * c;
                          second = t * s;
                        });
        std::vector<int> seen(size, 0);
        for (coca::Index j = 0; j < dim / 2; ++j) {
          const auto [i, k] = rope.pair(j);
          const auto first = static_cast<std::size_t>(i), second = static_cast<std::size_t>(k);
          ++seen[first];
          ++seen[second];
          const bool turns = j < rotary_dim / 2;
          CHECK(turns == (i < rotary_dim && k < rotary_dim));
          CHECK(x[first] == from[second] + (turns ? 100.0 : 0.0));
          CHECK(x[second] == from[first] + (turns ? 100.0 : 0.0));
          const double angle = turns ? 3.0 * rope.inv_freq()[static_cast<std::size_t>(j)] : 0.0;
          CHECK(y[first] == Approx(static_cast<double>(j) * std::cos(angle)));
          CHECK(y[second] == Approx(static_cast<double>(j) * std::sin(angle)));
        }
        CHECK(seen == std::vector<int>(size, 1));
      }
    }
  }
}

TEST_CASE("wrong rope options are named", "[position]") {
  CHECK_THROWS_WITH(Rope({.dim = 7}), "coca: rope.dim is 7, expected a positive even number");
  CHECK_THROWS_WITH(Rope({.dim = 0}), "coca: rope.dim is 0, expected a positive even number");
  CHECK_THROWS_WITH(Rope({.dim = 8, .rotary_dim = 10}),
                    "coca: rope.rotary_dim is 10, expected an even number from 0 to dim = 8");
  CHECK_THROWS_WITH(Rope({.dim = 8, .base = -1.0}),
                    "coca: rope.base is -1.000000, expected positive and finite");
  CHECK_THROWS_WITH(Rope({.dim = 8, .inv_freq = {1.0}}),
                    "coca: rope.inv_freq.size is 1, expected 4 (rotary_dim / 2)");
  CHECK_THROWS_AS(Rope({.dim = 2, .inv_freq = {NAN}}), std::invalid_argument);
}

TEST_CASE("the turns of a panel are those of its positions", "[position]") {
  for (const auto& [dim, rotary_dim] : {std::pair<Index, Index>{40, 40}, {12, 8}}) {
    const coca::Rope rope({.dim = dim, .rotary_dim = rotary_dim});
    const auto turns = rope.panel_turns<double>();
    CHECK(turns.places == rope.panel_turns<double>().places);  // made once
    const Index pairs = dim / 2;
    std::vector<double> cosines(static_cast<std::size_t>(pairs + 16)), sines(cosines.size());
    for (Index i = 0; i < 16; ++i) {
      rope.cos_sin(i, cosines.data(), sines.data());
      for (Index j = 0; j < pairs; ++j) {
        CHECK(turns.places[32 * j + i] == cosines[static_cast<std::size_t>(j)]);
        CHECK(turns.places[32 * j + 16 + i] == sines[static_cast<std::size_t>(j)]);
      }
    }
    for (Index p = 0; p < 8; ++p) {
      rope.cos_sin(-16 * p, cosines.data(), sines.data());
      for (Index j = 0; j < pairs; ++j) {
        CHECK(turns.panels[p * turns.stride + j] == cosines[static_cast<std::size_t>(j)]);
        CHECK(turns.panels[p * turns.stride + turns.stride / 2 + j] ==
              sines[static_cast<std::size_t>(j)]);
      }
    }
    // The pairs beyond rotary_dim do not turn.
    rope.cos_sin(1000, cosines.data(), sines.data());
    for (Index j = rotary_dim / 2; j < pairs; ++j) {
      CHECK(cosines[static_cast<std::size_t>(j)] == 1.0);
      CHECK(sines[static_cast<std::size_t>(j)] == 0.0);
    }
  }
}
