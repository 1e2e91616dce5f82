#include <map>

#include "coca/extern.hpp"
#include "support/catch.hpp"
#include "support/tokens.hpp"

/// Random use of a cache beside a plain list of tokens.
namespace {

using namespace test;
using coca::SequenceId;

constexpr Index kHeads = 2, kKeyDim = 4, kValueDim = 5, kGroup = 2;

/// The last `queries` tokens of a sequence attend: by the cache, and by tensors of the same numbers.
template <class Cache>
double apart(const Cache& cache, SequenceId id, const Tokens& model, Index queries,
             Random& random) {
  const Index heads = kHeads * kGroup;
  Tensor<float> q({1, queries, heads, 2 * kKeyDim}), out({1, queries, heads, kValueDim}),
      expected({1, queries, heads, kValueDim});
  q.fill([&] { return random.uniform(); });
  const coca::CocaSlack scheme{coca::Rope({.dim = 2 * kKeyDim, .base = 50.0})};
  coca::decode(out.view(), q.view(), cache, std::span(&id, 1), scheme);
  coca::attention(expected.view(), q.view(), model.k4(), model.v4(), scheme, coca::Causal{});
  double worst = 0.0;
  for (std::size_t i = 0; i < out.storage().size(); ++i) {
    const double difference =
        static_cast<double>(out.storage()[i]) - static_cast<double>(expected.storage()[i]);
    // Not std::max, which would pass over NaN.
    if (!(std::fabs(difference) <= worst)) worst = std::fabs(difference);
  }
  return worst;
}

}  // namespace

TEST_CASE("random appends, truncations, forks, drops and decodes", "[cache]") {
  for (std::uint64_t seed = 0; seed < 12; ++seed) {
    INFO("seed " << seed);
    Random random(seed);
    coca::PagedCache cache(
        {.key_heads = kHeads, .key_dim = kKeyDim, .value_dim = kValueDim},
        {.page_tokens = 16 * random.integer(1, 3), .pages = random.integer(8, 30)});
    std::map<SequenceId, Tokens> model;
    const auto some = [&] {
      return std::next(model.begin(), random.integer(0, static_cast<Index>(model.size()) - 1));
    };
    int decoded = 0;
    for (int step = 0; step < 250; ++step) {
      const Index what = model.empty() ? 0 : random.integer(0, 9);
      if (what == 0 && model.size() < 6) {
        model.emplace(cache.add(), Tokens{kHeads, kKeyDim, kValueDim});
      } else if (what == 1 && model.size() < 6) {
        const auto from = some();
        const Tokens copy = from->second;
        model.emplace(cache.fork(from->first), copy);
      } else if (what == 2) {
        const auto gone = some();
        cache.drop(gone->first);
        model.erase(gone);
      } else if (what == 3) {
        const auto shorter = some();
        const Index length = random.integer(0, shorter->second.length());
        cache.truncate(shorter->first, length);
        shorter->second.truncate(length);
      } else if (what < 7 && !model.empty()) {
        const auto longer = some();
        const Tokens more = Tokens{kHeads, kKeyDim, kValueDim}.add(random.integer(0, 40), random);
        const Index used = cache.pages_used();
        try {
          cache.append(longer->first, more.k(), more.v());
          longer->second.append(more);
        } catch (const coca::CacheFull&) {
          REQUIRE(cache.pages_used() == used);
        }
      } else if (!model.empty()) {
        const auto asked = some();
        const Index length = asked->second.length();
        REQUIRE(cache.length(asked->first) == length);
        if (length == 0) continue;
        const Index queries = std::min<Index>(length, random.integer(1, 20));
        ++decoded;
        CHECK(apart(cache, asked->first, asked->second, queries, random) <= 2e-6);
      }
    }
    CHECK(decoded > 10);
    for (const auto& [id, tokens] : model) {
      CHECK(tokens_of(cache, id, kHeads, kKeyDim, kValueDim).keys == tokens.keys);
      cache.drop(id);
    }
    CHECK(cache.pages_used() == 0);
  }
}

TEST_CASE("random use of a rolling cache", "[cache]") {
  for (std::uint64_t seed = 100; seed < 108; ++seed) {
    INFO("seed " << seed);
    Random random(seed);
    const Index sinks = random.integer(0, 20);
    const Index window = random.integer(20, 200);
    coca::RollingCache cache({.key_heads = kHeads, .key_dim = kKeyDim, .value_dim = kValueDim},
                             {.sinks = sinks, .window = window});
    const SequenceId id = cache.add();
    Tokens model{kHeads, kKeyDim, kValueDim};
    for (int step = 0; step < 60; ++step) {
      const Tokens more = Tokens{kHeads, kKeyDim, kValueDim}.add(random.integer(1, 17), random);
      cache.append(id, more.k(), more.v());
      model.append(more);
      if (model.length() > sinks + window) {
        model.erase(sinks, sinks + model.length() - (sinks + window));
      }
      if (random.integer(0, 5) == 0) {
        const Index length = random.integer(1, model.length());
        cache.truncate(id, length);
        model.truncate(length);
      }
      const Index queries = std::min<Index>(model.length(), random.integer(1, 20));
      CHECK(apart(cache, id, model, queries, random) <= 2e-6);
    }
  }
}
