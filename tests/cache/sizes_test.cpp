#include <array>
#include <limits>

#include "coca/cache/paged_cache.hpp"
#include "coca/cache/rolling_cache.hpp"
#include "coca/coca.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"

/// Sizes beyond 2^31, and beyond what can be counted.
namespace {

using namespace test;
using coca::CacheOptions;
using coca::PagedCache;
using coca::RollingCache;

constexpr Index kMost = std::numeric_limits<Index>::max();
constexpr CacheOptions kSmall{.key_heads = 1, .key_dim = 4, .value_dim = 4};

/// So many tokens, all the same one, of one head.
coca::View<const float, 3> same_token(Index tokens) {
  static const std::array<float, 4> row{};
  return {row.data(), {tokens, 1, 4}, {0, 0, 1}};
}

}  // namespace

TEST_CASE("a page whose bytes cannot be counted is refused", "[cache]") {
  const Index half = Index{1} << 31;
  for (const auto& [heads, key_dim, value_dim] :
       {std::array<Index, 3>{kMost, 1, 1},
        {1, kMost, 1},
        {1, 1, kMost},
        // Whose bytes are 2^64 and more, so that none would be left of them.
        {Index{1} << 60, 16, 16},
        {1, Index{1} << 58, 16},
        {half, half, half}}) {
    INFO(heads << " heads of " << key_dim << " and " << value_dim);
    const CacheOptions options{.key_heads = heads, .key_dim = key_dim, .value_dim = value_dim};
    const auto refused = contains("a page of the cache is of [");
    CHECK_THROWS_WITH(PagedCache(options), refused);
    CHECK_THROWS_WITH(coca::GrowingCache(options), refused);
    CHECK_THROWS_WITH(RollingCache(options), refused);
  }
  CHECK_THROWS_WITH(PagedCache(kSmall, {.page_tokens = kMost / 16 * 16}),
                    "coca: a page of the cache is of [9223372036854775792, 1, 4, 4] = [tokens, "
                    "key_heads, key_dim, value_dim], expected one whose bytes can be counted");
}

TEST_CASE("bytes of a token and a page beyond 2^32", "[cache]") {
  const Index heads = 1 << 20, dim = 1 << 14;
  const PagedCache cache({.key_heads = heads, .key_dim = dim, .value_dim = dim},
                         {.page_tokens = 1 << 10});
  CHECK(cache.token_bytes() == heads * 2 * dim * 4);
  CHECK(cache.layout().page_bytes() == std::size_t{1} << 47);
  CHECK(cache.bytes() == 0);
}

TEST_CASE("a rolling cache of more tokens than there are addresses is refused", "[cache]") {
  CHECK_THROWS_WITH(RollingCache(kSmall, {.sinks = kMost}),
                    "coca: rolling.sinks is 9223372036854775807, expected 0 to 2^52");
  CHECK_THROWS_WITH(RollingCache(kSmall, {.window = kMost}),
                    "coca: rolling.window is 9223372036854775807, expected 1 to 2^52");
}

TEST_CASE("more tokens than a pool has pages for, beyond 2^31 pages", "[cache]") {
  PagedCache cache(kSmall, {.page_tokens = 16, .pages = 3});
  const coca::SequenceId id = cache.add();
  const Index many = Index{1} << 40;
  CHECK_THROWS_WITH(cache.append(id, same_token(many), same_token(many)),
                    "coca: the cache has 3 pages left, and these tokens take 68719476736");
  CHECK_THROWS_WITH(cache.append(id, same_token(kMost), same_token(kMost)),
                    "coca: k.shape[0] (tokens) is 9223372036854775807, expected 0 to 2^52");
  CHECK(cache.length(id) == 0);
  CHECK(cache.bytes() == 0);
}
