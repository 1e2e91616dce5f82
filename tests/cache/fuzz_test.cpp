#include "coca/coca.hpp"
#include "support/cache_use.hpp"
#include "support/catch.hpp"

/// Random use of a cache beside plain lists of tokens. (tests/fuzz lets a fuzzer choose.)
namespace {

using namespace test;

constexpr Index kKeyDim = 4;
const coca::CocaSlack<> kScheme{coca::Rope({.dim = 2 * kKeyDim, .base = 50.0})};

template <class Cache>
void use(Cache& cache, const typename CacheUse<Cache>::Widths& widths, int steps, Random& random) {
  CacheUse<Cache> all(cache, widths);
  for (int step = 0; step < steps; ++step) all.step(random, random, kScheme);
  CHECK(all.decoded() > 10);
  all.end();
  CHECK(all.wrong() == "");
}

}  // namespace

TEST_CASE("random use of a paged cache", "[cache]") {
  for (std::uint64_t seed = 0; seed < 12; ++seed) {
    INFO("seed " << seed);
    Random random(seed);
    coca::PagedCache cache(
        {.key_heads = 2, .key_dim = kKeyDim, .value_dim = 5},
        {.page_tokens = 16 * random.integer(1, 3), .pages = random.integer(8, 30)});
    use(cache, {.heads = 2, .key_dim = kKeyDim, .value_dim = 5, .group = 2}, 250, random);
  }
}

TEST_CASE("random use of a rolling cache", "[cache]") {
  for (std::uint64_t seed = 100; seed < 112; ++seed) {
    INFO("seed " << seed);
    Random random(seed);
    const Index sinks = random.integer(0, 20);
    const Index window = random.integer(20, 200);
    const auto type = random.pick(std::array{ElementType::float32, ElementType::bfloat16,
                                             ElementType::float16, ElementType::int8});
    coca::RollingCache cache({.key_heads = 2, .key_dim = kKeyDim, .value_dim = 5, .type = type},
                             {.sinks = sinks, .window = window});
    use(cache,
        {.heads = 2,
         .key_dim = kKeyDim,
         .value_dim = 5,
         .group = 2,
         .type = type,
         .sinks = sinks,
         .window = window},
        150, random);
  }
}
