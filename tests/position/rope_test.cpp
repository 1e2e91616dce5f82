#include "coca/position/rope.hpp"

#include <cmath>
#include <thread>

#include "support/catch.hpp"
#include "support/random.hpp"

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

TEST_CASE("every layout pairs every coordinate once", "[position]") {
  for (const auto layout : {RopeLayout::half_split, RopeLayout::interleaved}) {
    for (const coca::Index rotary_dim : {2, 4, 10, 12}) {
      const Rope rope({.dim = 12, .rotary_dim = rotary_dim, .layout = layout});
      std::vector<int> seen(12, 0);
      coca::Index turning = 0;
      rope.for_each_pair<double>(
          3, [&](coca::Index j, coca::Index first, coca::Index second, double c, double) {
            CHECK(rope.pair(j) == std::pair(first, second));
            ++seen[static_cast<std::size_t>(first)];
            ++seen[static_cast<std::size_t>(second)];
            if (c == 1.0) return;
            ++turning;
            CHECK(first < rotary_dim);
            CHECK(second < rotary_dim);
          });
      CHECK(seen == std::vector<int>(12, 1));
      CHECK(turning == rotary_dim / 2);
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
