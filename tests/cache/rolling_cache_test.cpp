#include "coca/cache/rolling_cache.hpp"

#include "coca/coca.hpp"
#include "support/catch.hpp"
#include "support/tokens.hpp"

using namespace test;
using coca::RollingCache;
using coca::SequenceId;

TEST_CASE("a rolling cache keeps the first tokens and the last ones", "[cache]") {
  Random random(1);
  for (const auto& [sinks, window] : {std::pair<Index, Index>{4, 20}, {0, 1}, {17, 16}, {3, 33}}) {
    RollingCache cache({.key_heads = 2, .key_dim = 3, .value_dim = 5},
                       {.sinks = sinks, .window = window});
    const SequenceId id = cache.add();
    const std::size_t bytes = cache.bytes();
    Tokens model{2, 3, 5};
    Index seen = 0;
    for (int step = 0; step < 60; ++step) {
      const Tokens more = Tokens{2, 3, 5}.add(random.integer(0, 7), random);
      cache.append(id, more.k(), more.v());
      seen += more.length();
      model.append(more);
      if (model.length() > sinks + window) {
        model.erase(sinks, sinks + model.length() - (sinks + window));
      }
      REQUIRE(cache.length(id) == model.length());
      REQUIRE(cache.seen(id) == seen);
      const Tokens held = tokens_of(cache, id, 2, 3, 5);
      CHECK(held.keys == model.keys);
      CHECK(held.values == model.values);
    }
    CHECK(cache.bytes() == bytes);  // memory is flat
  }
}

TEST_CASE("a rolling cache forks, truncates and drops", "[cache]") {
  Random random(2);
  RollingCache cache({.key_heads = 1, .key_dim = 2, .value_dim = 2}, {.sinks = 2, .window = 10});
  const SequenceId a = cache.add();
  Tokens model = Tokens{1, 2, 2}.add(30, random);
  cache.append(a, model.k(), model.v());
  model.erase(2, 20);
  const SequenceId b = cache.fork(a);
  cache.truncate(a, 5);
  Tokens shorter = model;
  shorter.truncate(5);
  CHECK(tokens_of(cache, a, 1, 2, 2).keys == shorter.keys);
  CHECK(tokens_of(cache, b, 1, 2, 2).keys == model.keys);
  CHECK(cache.seen(a) == 23);
  cache.truncate(a, 1);
  const Tokens more = Tokens{1, 2, 2}.add(4, random);
  cache.append(a, more.k(), more.v());
  shorter.truncate(1);
  shorter.append(more);
  CHECK(tokens_of(cache, a, 1, 2, 2).values == shorter.values);
  cache.drop(a);
  CHECK_THROWS_AS(cache.length(a), std::invalid_argument);
  CHECK(tokens_of(cache, b, 1, 2, 2).values == model.values);

  CHECK_THROWS_WITH(RollingCache({.key_heads = 1, .key_dim = 2, .value_dim = 2}, {.window = 0}),
                    "coca: rolling.window is 0, expected 1 or more");
  CHECK_THROWS_AS(RollingCache({.key_heads = 1, .key_dim = 2, .value_dim = 2}, {.sinks = -1}),
                  std::invalid_argument);
}
