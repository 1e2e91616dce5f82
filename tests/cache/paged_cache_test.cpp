#include "coca/cache/paged_cache.hpp"

#include <cmath>
#include <limits>

#include "coca/coca.hpp"
#include "support/catch.hpp"
#include "support/tokens.hpp"

using namespace test;
using coca::CacheOptions;
using coca::ElementType;
using coca::PagedCache;
using coca::SequenceId;

namespace {

constexpr CacheOptions kOptions{.key_heads = 2, .key_dim = 6, .value_dim = 20};

Tokens no_tokens() { return {2, 6, 20}; }
Tokens held(const PagedCache& cache, SequenceId id) { return tokens_of(cache, id, 2, 6, 20); }

bool same(const Tokens& a, const Tokens& b) { return a.keys == b.keys && a.values == b.values; }

}  // namespace

TEST_CASE("tokens come back as they were stored", "[cache]") {
  Random random(1);
  const Tokens tokens = no_tokens().add(75, random);
  for (const auto& [type, unit] : {std::pair{ElementType::float32, 0.0},
                                   {ElementType::bfloat16, 0x1p-8},
                                   {ElementType::float16, 0x1p-11}}) {
    CacheOptions options = kOptions;
    options.type = type;
    PagedCache cache(options, {.page_tokens = 32});
    const SequenceId id = cache.add();
    cache.append(id, tokens.k(), tokens.v());
    REQUIRE(cache.length(id) == 75);
    const Tokens back = held(cache, id);
    double worst = 0.0;
    for (std::size_t i = 0; i < back.keys.size(); ++i) {
      worst = std::max(worst, static_cast<double>(std::fabs(back.keys[i] - tokens.keys[i])));
    }
    for (std::size_t i = 0; i < back.values.size(); ++i) {
      worst = std::max(worst, static_cast<double>(std::fabs(back.values[i] - tokens.values[i])));
    }
    CHECK(worst <= unit);
  }
}

TEST_CASE("double goes into a cache of float64, and into no other", "[cache]") {
  const Eigen::Tensor<double, 3, Eigen::RowMajor> k =
      Eigen::Tensor<double, 3, Eigen::RowMajor>(5, 2, 6).setRandom();
  const Eigen::Tensor<double, 3, Eigen::RowMajor> v =
      Eigen::Tensor<double, 3, Eigen::RowMajor>(5, 2, 20).setRandom();
  CacheOptions options = kOptions;
  PagedCache narrow(options);
  const SequenceId in_narrow = narrow.add();
  CHECK_THROWS_AS(narrow.append(in_narrow, k, v), std::invalid_argument);
  options.type = ElementType::float64;
  PagedCache wide(options);
  const SequenceId id = wide.add();
  wide.append(id, k, v);
  Eigen::Tensor<double, 3, Eigen::RowMajor> k_back(5, 2, 6), v_back(5, 2, 20);
  wide.read(id, k_back, v_back);
  for (Index i = 0; i < k.size(); ++i) CHECK(k.data()[i] == k_back.data()[i]);
  for (Index i = 0; i < v.size(); ++i) CHECK(v.data()[i] == v_back.data()[i]);
}

TEST_CASE("int8 is off by no more than max / 254 of its row", "[cache]") {
  Random random(2);
  CacheOptions options = kOptions;
  options.type = ElementType::int8;
  PagedCache cache(options);
  const SequenceId id = cache.add();
  Tokens tokens = no_tokens().add(40, random);
  // Rows of very different sizes, one of zeros, one too small to have a scale.
  for (std::size_t i = 0; i < tokens.values.size(); ++i) {
    tokens.values[i] *= std::pow(10.0F, static_cast<float>(i / 20 % 9) - 4.0F);
  }
  std::fill_n(tokens.values.begin(), 20, 0.0F);
  std::fill_n(tokens.values.begin() + 20, 20, 1e-40F);
  cache.append(id, tokens.k(), tokens.v());
  const Tokens back = held(cache, id);
  const auto check = [](const std::vector<float>& was, const std::vector<float>& is,
                        std::size_t width) {
    for (std::size_t row = 0; row < was.size(); row += width) {
      double largest = 0.0;
      double worst = 0.0;
      for (std::size_t i = row; i < row + width; ++i) {
        largest = std::max(largest, static_cast<double>(std::fabs(was[i])));
        worst = std::max(worst, static_cast<double>(std::fabs(was[i] - is[i])));
      }
      // Rounding of the scale and of its product, and rows below the smallest normal number.
      CHECK(worst <= largest / 254.0 + 4.0 * 0x1p-24 * largest + 127.0 * 0x1p-126);
    }
  };
  check(tokens.keys, back.keys, 6);
  check(tokens.values, back.values, 20);

  // A row that is not finite is NaN.
  Tokens bad = no_tokens().add(1, random);
  bad.values[3] = std::numeric_limits<float>::infinity();
  cache.append(id, bad.k(), bad.v());
  const Tokens after = held(cache, id);
  for (std::size_t i = 0; i < 20; ++i) CHECK(std::isnan(after.values[40 * 40 + i]));
  CHECK_FALSE(std::isnan(after.values[40 * 40 + 20]));
}

TEST_CASE("forks share pages until they write", "[cache]") {
  Random random(3);
  PagedCache cache(kOptions, {.page_tokens = 16, .pages = 8});
  const SequenceId a = cache.add();
  Tokens first = no_tokens().add(40, random);  // two pages and a half
  cache.append(a, first.k(), first.v());
  CHECK(cache.pages_used() == 3);
  const SequenceId b = cache.fork(a);
  const SequenceId c = cache.fork(a);
  CHECK(cache.pages_used() == 3);

  const Tokens more = no_tokens().add(3, random);
  cache.append(b, more.k(), more.v());
  CHECK(cache.pages_used() == 4);  // the last page of b
  Tokens expected_b = first;
  expected_b.append(more);
  CHECK(same(held(cache, b), expected_b));
  CHECK(same(held(cache, a), first));
  CHECK(same(held(cache, c), first));

  // Both at once: the second of the two that are left may keep the page.
  const SequenceId both[] = {a, c};
  std::vector<float> k(2 * 1 * 2 * 6, 0.25F), v(2 * 1 * 2 * 20, 0.5F);
  cache.append(both, coca::TensorView<const float>(k.data(), {2, 1, 2, 6}),
               coca::TensorView<const float>(v.data(), {2, 1, 2, 20}));
  CHECK(cache.pages_used() == 5);
  CHECK(cache.length(a) == 41);
  CHECK(cache.length(c) == 41);

  cache.drop(a);
  cache.drop(c);
  CHECK(cache.pages_used() == 3);
  CHECK(same(held(cache, b), expected_b));
  cache.truncate(b, 32);
  CHECK(cache.pages_used() == 2);
  cache.drop(b);
  CHECK(cache.pages_used() == 0);
  CHECK(cache.pages_left() == 8);
}

TEST_CASE("a pool that is full says so, and nothing has changed", "[cache]") {
  Random random(4);
  PagedCache cache(kOptions, {.page_tokens = 16, .pages = 3});
  const SequenceId a = cache.add();
  const SequenceId b = cache.add();
  const Tokens tokens = no_tokens().add(20, random);
  cache.append(a, tokens.k(), tokens.v());
  const SequenceId both[] = {a, b};
  std::vector<float> k(2 * 20 * 2 * 6), v(2 * 20 * 2 * 20);
  const coca::TensorView<const float> ks(k.data(), {2, 20, 2, 6}), vs(v.data(), {2, 20, 2, 20});
  CHECK_THROWS_WITH(cache.append(both, ks, vs),
                    "coca: the cache has 1 pages left, and these tokens take 3");
  CHECK_THROWS_AS(cache.append(both, ks, vs), coca::CacheFull);
  CHECK(cache.length(a) == 20);
  CHECK(cache.length(b) == 0);
  CHECK(same(held(cache, a), tokens));
  CHECK(cache.pages_left() == 1);
  cache.append(b, no_tokens().add(16, random).k(), no_tokens().add(16, random).v());
  CHECK(cache.pages_left() == 0);
}

TEST_CASE("memory is what the pages take", "[cache]") {
  // 16 tokens of 2 heads: 6 numbers of keys, 20 of values up to 32.
  PagedCache cache(kOptions, {.page_tokens = 16});
  CHECK(cache.bytes() == 0);
  CHECK(cache.token_bytes() == 2 * (6 + 32) * 4);
  const SequenceId id = cache.add();
  Random random(5);
  const Tokens tokens = no_tokens().add(17, random);
  cache.append(id, tokens.k(), tokens.v());
  CHECK(cache.bytes() == 2U * 16U * 2U * (6U + 32U) * 4U);

  // t of CoCA beside a whole key: three quarters of the bytes.
  const PagedCache whole({.key_heads = 8, .key_dim = 128, .value_dim = 128});
  const PagedCache half({.key_heads = 8, .key_dim = 64, .value_dim = 128});
  CHECK(4 * half.token_bytes() == 3 * whole.token_bytes());
}

TEST_CASE("a cache says what is wrong", "[cache]") {
  CHECK_THROWS_WITH(PagedCache({.key_heads = 0, .key_dim = 6, .value_dim = 6}),
                    "coca: cache.key_heads is 0, expected 1 or more");
  CHECK_THROWS_WITH(PagedCache(kOptions, {.page_tokens = 24}),
                    "coca: pages.page_tokens is 24, expected a multiple of 16");
  CHECK_THROWS_AS(PagedCache(kOptions, {.pages = -1}), std::invalid_argument);
  PagedCache cache(kOptions);
  const SequenceId id = cache.add();
  Random random(6);
  const Tokens tokens = no_tokens().add(4, random);
  CHECK_THROWS_WITH(cache.append(id + 1, tokens.k(), tokens.v()),
                    "coca: sequence is 1, expected one that was added, and not dropped");
  CHECK_THROWS_WITH(cache.append(id, tokens.v(), tokens.v()),
                    "coca: k is of shape [4, 2, 20], expected [4, 2, 6] = [tokens, heads and width "
                    "of the cache]");
  auto fewer = tokens.v();
  fewer.shape[0] = 3;
  CHECK_THROWS_AS(cache.append(id, tokens.k(), fewer), std::invalid_argument);
  const SequenceId twice[] = {id, id};
  CHECK_THROWS_AS(cache.append(twice, tokens.k4(), tokens.v4()), std::invalid_argument);
  CHECK(cache.length(id) == 0);
  CHECK_THROWS_WITH(cache.truncate(id, 1),
                    "coca: length is 1, expected from 0 to the 0 tokens of the sequence");
  cache.drop(id);
  CHECK_THROWS_AS(cache.length(id), std::invalid_argument);
  CHECK_THROWS_AS(cache.drop(id), std::invalid_argument);
  CHECK(cache.add() == id);  // names are used again
}
