#include "coca/mask/prefix_lm.hpp"

#include "support/catch.hpp"
#include "support/tiles.hpp"

using coca::PrefixLm;
using coca::Site;

TEST_CASE("all see the prefix, the rest is causal", "[mask]") {
  const PrefixLm mask(3);
  CHECK(mask.visible(Site{.query_index = 0, .key_index = 2}));
  CHECK_FALSE(mask.visible(Site{.query_index = 0, .key_index = 3}));
  CHECK(mask.visible(Site{.query_index = 5, .key_index = 5}));
  CHECK_FALSE(mask.visible(Site{.query_index = 5, .key_index = 6}));
}

TEST_CASE("a prefix mask knows its tiles", "[mask]") {
  test::Random random(73);
  for (const coca::Position prefix : {0, 1, 13, 100}) {
    CHECK(test::classifies_rightly(PrefixLm(prefix), 50, 50, 0, 0, random, false));
    CHECK(test::classifies_rightly(PrefixLm(prefix), 50, 50, 7, 3, random, false));
  }
}

TEST_CASE("a negative prefix is an error", "[mask]") {
  CHECK_THROWS_WITH(PrefixLm(-2), "coca: prefix is -2, expected 0 or more tokens");
}
