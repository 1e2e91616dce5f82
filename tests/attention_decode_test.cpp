#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <span>

#include "coca/coca.hpp"
#include "coca/reference/attention.hpp"
#include "kernel/forward_cases.hpp"
#include "support/bounds.hpp"
#include "support/catch.hpp"
#include "support/effort.hpp"
#include "support/forms.hpp"
#include "support/tokens.hpp"

/// Attention to a cache.
namespace {

using namespace test;
using coca::ElementType;
using coca::SequenceId;

struct DecodeSizes {
  Index key_heads, group, dim, value_dim, queries;
};

/// One random call over sequences of different lengths, each beside the reference over the numbers
/// that the cache holds.
template <class TQuery = float, class AForm, class Cache>
void compare_decode(const AForm& form, Cache& cache, const std::vector<SequenceId>& ids,
                    const DecodeSizes& sizes, Random& random) {
  const auto [key_heads, group, dim, value_dim, queries] = sizes;
  const Index heads = key_heads * group;
  const bool int8 = cache.layout().type == ElementType::int8;
  const auto batch = static_cast<Index>(ids.size());
  Tensor<TQuery> q({batch, queries, heads, dim});
  Tensor<float> out({batch, queries, heads, value_dim});
  q.fill([&] { return random.uniform(); });
  const bool bfloat16 =
      cache.layout().type == ElementType::bfloat16 && std::is_same_v<TQuery, Eigen::bfloat16>;
  const Tensor<double> wide_q = widened(q);
  std::vector<float> lse(static_cast<std::size_t>(batch * heads * queries));
  std::vector<float> sinks(static_cast<std::size_t>(heads));
  for (float& sink : sinks) sink = static_cast<float>(random.uniform());
  AttentionOptions options{.lse = coca::View<float, 3>(lse.data(), {batch, heads, queries})};
  if (random.integer(0, 1) == 0) {
    options.sinks = coca::View<const float, 1>(sinks.data(), {heads});
  }
  if (random.integer(0, 2) == 0) options.soft_cap = 0.5;
  // The cache holds a part of the sequence, and the queries may stand anywhere behind its first token.
  if (random.integer(0, 1) == 0) options.first_key = random.integer(0, 100000);
  if (random.integer(0, 2) == 0) options.first_query = options.first_key + random.integer(0, 300);
  const AnyMask mask = random_mask(random);
  coca::decode(out.view(), q.view(), cache, ids, form.scheme, mask, options);

  for (Index s = 0; s < batch; ++s) {
    const SequenceId id = ids[static_cast<std::size_t>(s)];
    const Tokens tokens =
        tokens_of(cache, id, key_heads, form.half_width ? dim / 2 : dim, value_dim);
    const Index length = tokens.length();
    Tensor<double> k({1, length, key_heads, tokens.key_dim}), v({1, length, key_heads, value_dim});
    std::copy(tokens.keys.begin(), tokens.keys.end(), k.storage().begin());
    std::copy(tokens.values.begin(), tokens.values.end(), v.storage().begin());
    Tensor<double> own_q({1, queries, heads, dim}), expected({1, queries, heads, value_dim});
    std::copy_n(wide_q.storage().begin() + s * own_q.view().size(), own_q.view().size(),
                own_q.storage().begin());
    std::vector<double> own_lse(static_cast<std::size_t>(heads * queries));
    AttentionOptions own = options;
    own.first_query = options.first_query.value_or(options.first_key + length - queries);
    own.lse = coca::View<double, 3>(own_lse.data(), {1, heads, queries});
    reference::attention(expected.view(), own_q.view(), k.view(), v.view(), form.definition, mask,
                         own);
    const double scale = 1.0 / std::sqrt(static_cast<double>(dim));
    const double magnitude =
        scale * (form.coca ? coca_magnitude(longest_row(own_q), largest(k))
                           : linear_magnitude(longest_row(own_q), longest_row(k)));
    const Bounds bounds =
        attention_bounds<float, float>(magnitude, options.soft_cap + 1.0, largest(v), dim, length,
                                       int8       ? int8_units(dim)
                                       : bfloat16 ? operand_units<Eigen::bfloat16>()
                                                  : OperandUnits{});
    double worst = 0.0;
    for (Index i = 0; i < expected.view().size(); ++i) {
      worst = worse(worst,
                    static_cast<double>(
                        out.storage()[static_cast<std::size_t>(s * expected.view().size() + i)]),
                    expected.storage()[static_cast<std::size_t>(i)]);
    }
    INFO("sequence of " << length << ", queries " << queries);
    CHECK(worst <= bounds.out);
    double worst_lse = 0.0;
    for (std::size_t i = 0; i < own_lse.size(); ++i) {
      worst_lse = worse(worst_lse,
                        static_cast<double>(lse[static_cast<std::size_t>(s * heads * queries) + i]),
                        own_lse[i]);
    }
    CHECK(worst_lse <= bounds.lse);
  }
}

DecodeSizes random_decode_sizes(Random& random) {
  return {random.integer(1, 2), random.integer(1, kEmulated ? 2 : 5), 2 * random.integer(1, 20),
          random.integer(1, 40), random.integer(1, kEmulated ? 2 : 4)};
}

}  // namespace

TEST_CASE("decode is the reference, for every scheme, type and kind of cache", "[decode]") {
  constexpr std::array<ElementType, 4> types{ElementType::float32, ElementType::bfloat16,
                                             ElementType::float16, ElementType::int8};
  for (std::uint64_t seed = 0; seed < (kEmulated ? 4U : 8U); ++seed) {
    Random random(7000 + seed);
    const DecodeSizes sizes = random_decode_sizes(random);
    const ElementType type = types[seed % 4];
    for_each_form(random_rope(random, sizes.dim), [&](const auto& form) {
      const Index key_dim = form.half_width ? sizes.dim / 2 : sizes.dim;
      INFO("seed " << seed << ", " << form.name << ", type " << static_cast<int>(type)
                   << ", key heads " << sizes.key_heads << ", group " << sizes.group << ", dim "
                   << sizes.dim << ", value dim " << sizes.value_dim);
      const coca::CacheOptions options{sizes.key_heads, key_dim, sizes.value_dim, type};
      const auto fill = [&](auto& cache, std::vector<Index> lengths) {
        std::vector<SequenceId> ids;
        for (const Index length : lengths) {
          ids.push_back(cache.add());
          const Tokens tokens =
              Tokens{sizes.key_heads, key_dim, sizes.value_dim}.add(length, random);
          cache.append(ids.back(), tokens.k(), tokens.v());
        }
        compare_decode(form, cache, ids, sizes, random);
        if (type == ElementType::bfloat16) {
          compare_decode<Eigen::bfloat16>(form, cache, ids, sizes, random);
        }
      };
      coca::PagedCache paged(options, {.page_tokens = 16 * random.integer(1, 4)});
      fill(paged, {random.integer(4, 300), 128, random.integer(4, 40)});
      // Several parts of keys, which are merged.
      coca::GrowingCache growing(options);
      if (seed < 4) fill(growing, {1024 + random.integer(0, share_of(1500))});
      coca::RollingCache rolling(options, {.sinks = random.integer(0, 20), .window = 150});
      fill(rolling, {random.integer(4, 400), random.integer(200, 700)});
    });
  }
}

TEST_CASE("decode in double", "[decode]") {
  Random random(1);
  const coca::Rope rope({.dim = 12});
  const coca::CocaStrict scheme{rope};
  coca::PagedCache cache(
      {.key_heads = 2, .key_dim = 6, .value_dim = 9, .type = ElementType::float64});
  const std::vector<SequenceId> ids{cache.add()};
  Tensor<double> q({1, 3, 4, 12}), k({1, 1200, 2, 6}), v({1, 1200, 2, 9}), out({1, 3, 4, 9}),
      expected({1, 3, 4, 9});
  for (auto* x : {&q, &k, &v}) x->fill([&] { return std::fabs(random.uniform()); });
  cache.append(ids, k.view(), v.view());
  coca::decode(out.view(), q.view(), cache, ids, scheme);
  coca::attention(expected.view(), q.view(), k.view(), v.view(), scheme, coca::Causal{});
  CHECK(largest_difference(out, expected) <= 1e-13);
}

TEST_CASE("a chunk of a prompt gives the bits of attention over tensors", "[decode]") {
  Random random(3);
  const Tokens tokens = Tokens{2, 8, 12}.add(300, random);
  coca::PagedCache cache({.key_heads = 2, .key_dim = 8, .value_dim = 12});
  const std::vector<SequenceId> ids{cache.add()};
  cache.append(ids[0], tokens.k(), tokens.v());
  Tensor<float> q({1, 100, 4, 16}), out({1, 100, 4, 12}), expected({1, 100, 4, 12});
  q.fill([&] { return random.uniform(); });
  const coca::CocaSlack scheme{coca::Rope({.dim = 16})};
  coca::decode(out.view(), q.view(), cache, ids, scheme);
  coca::attention(expected.view(), q.view(), tokens.k4(), tokens.v4(), scheme, coca::Causal{});
  CHECK(out.storage() == expected.storage());
}

TEST_CASE("token by token, decode gives the rows of the prefill", "[decode]") {
  Random random(4);
  // Masks under which no token sees a later one.
  const std::array<AnyMask, 3> masks{
      AnyMask(coca::Causal{}), AnyMask(coca::Causal{} & coca::SlidingWindow{40, 0}),
      AnyMask(coca::Causal{} & (coca::SinkTokens{4} | coca::SlidingWindow{20, 0}))};
  constexpr Index tokens = 150;
  for (const ElementType type :
       {ElementType::float32, ElementType::bfloat16, ElementType::float16, ElementType::int8}) {
    if (kEmulated && type != ElementType::float32 && type != ElementType::int8) continue;
    for_each_form(coca::Rope({.dim = 16}), [&](const auto& form) {
      const coca::CacheOptions options{2, form.half_width ? 8 : 16, 12, type};
      const Tokens all = Tokens{2, options.key_dim, 12}.add(tokens, random);
      Tensor<float> q({1, tokens, 6, 16}), prefill({1, tokens, 6, 12}), row({1, 1, 6, 12});
      q.fill([&] { return random.uniform(); });
      const double magnitude = form.coca ? coca_magnitude(longest_row(q), 1.0) / 4.0
                                         : linear_magnitude(longest_row(q), 4.0) / 4.0;
      const double bound = attention_bounds<float, float>(magnitude, 0.0, 1.0, 16, tokens).out +
                           attention_bounds<float, float>(
                               magnitude, 0.0, 1.0, 16, tokens,
                               type == ElementType::int8 ? int8_units(16) : OperandUnits{})
                               .out;
      const auto check = [&](const char* kind, auto&& cache) {
        INFO(form.name << ", " << kind << ", type " << static_cast<int>(type));
        const std::vector<SequenceId> ids{cache.add()};
        cache.append(ids[0], all.k(), all.v());
        // The numbers that the cache holds.
        const Tokens held = tokens_of(cache, ids[0], 2, options.key_dim, 12);
        for (const AnyMask& mask : std::span(masks).first(kEmulated ? 1 : masks.size())) {
          coca::attention(prefill.view(), q.view(), held.k4(), held.v4(), form.scheme, mask);
          double worst = 0.0;
          const std::vector<SequenceId> fork{cache.fork(ids[0])};
          for (const Index n : {149, 128, 127, 64, 63, 30, 16, 15, 1, 0}) {
            cache.truncate(fork[0], n + 1);
            auto own_q = q.view();
            own_q.data = &own_q(0, n, 0, 0);
            own_q.shape[1] = 1;
            coca::decode(row.view(), own_q, cache, fork, form.scheme, mask);
            for (Index i = 0; i < 72; ++i) {
              worst = worse(
                  worst, static_cast<double>(row.storage()[static_cast<std::size_t>(i)]),
                  static_cast<double>(prefill.storage()[static_cast<std::size_t>(72 * n + i)]));
            }
          }
          CHECK(worst <= bound);
          cache.drop(fork[0]);
        }
      };
      check("growing", coca::GrowingCache(options));
      check("paged", coca::PagedCache(options, {.page_tokens = 48}));
      check("rolling", coca::RollingCache(options, {.sinks = 4, .window = 160}));
    });
  }
}

TEST_CASE("dynamic NTK is right for what is stored", "[decode]") {
  // The base grows with the length, and with it the rotation of every key.
  Random random(5);
  const coca::Rope rope({.dim = 16, .scaling = coca::DynamicNtk{4.0, 50}});
  Tokens tokens{1, 16, 16};
  Tokens rotated{1, 16, 16};
  coca::PagedCache cache({.key_heads = 1, .key_dim = 16, .value_dim = 16});
  const std::vector<SequenceId> ids{cache.add()};
  Tensor<float> q({1, 1, 2, 16}), out({1, 1, 2, 16}), expected({1, 1, 2, 16}), stale(out);
  for (Index n = 1; n <= 200; ++n) {
    const coca::Rope now = rope.at_length(n);
    Tokens next = Tokens{1, 16, 16}.add(1, random);
    cache.append(ids[0], next.k(), next.v());
    tokens.append(next);
    q.fill([&] { return 4.0 * random.uniform(); });
    coca::decode(out.view(), q.view(), cache, ids, coca::Rotary{now});
    coca::attention(expected.view(), q.view(), tokens.k4(), tokens.v4(), coca::Rotary{now});
    CHECK(largest_difference(out, widened(expected)) <= 1e-5);

    // The usual way: a key is rotated by the base of its time, and kept.
    coca::rotate(coca::TensorView<float>(next.keys.data(), {1, 1, 1, 16}), now, {.first = n - 1});
    rotated.append(next);
    coca::rotate(q.view(), now, {.first = n - 1});
    coca::attention(stale.view(), q.view(), rotated.k4(), rotated.v4(), coca::Dot{});
    // As long as the base has not changed it is the same; in the end it is not.
    const double off = largest_difference(stale, widened(expected));
    if (n <= 50) CHECK(off <= 1e-5);
    if (n == 200) CHECK(off > 1e-2);
  }
}

TEST_CASE("who keeps rotated keys decodes with Dot", "[decode]") {
  Random random(8);
  const coca::Rope rope({.dim = 16});
  Tokens tokens = Tokens{1, 16, 16}.add(200, random);
  Tensor<float> q({1, 1, 2, 16}), out({1, 1, 2, 16}), expected({1, 1, 2, 16});
  q.fill([&] { return random.uniform(); });
  coca::attention(expected.view(), q.view(), tokens.k4(), tokens.v4(), coca::Rotary{rope});
  coca::rotate(coca::TensorView<float>(tokens.keys.data(), {1, 200, 1, 16}), rope);
  coca::rotate(q.view(), rope, {.first = 199});
  coca::PagedCache cache({.key_heads = 1, .key_dim = 16, .value_dim = 16});
  const std::vector<SequenceId> ids{cache.add()};
  cache.append(ids[0], tokens.k(), tokens.v());
  coca::decode(out.view(), q.view(), cache, ids, coca::Dot{});
  CHECK(largest_difference(out, widened(expected)) <= 1e-6);
}

TEST_CASE("NaN and Inf in a cache stay with those that see them", "[decode]") {
  Random random(6);
  const float infinity = std::numeric_limits<float>::infinity();
  for (const ElementType type : {ElementType::float32, ElementType::bfloat16, ElementType::int8}) {
    coca::PagedCache cache({.key_heads = 1, .key_dim = 8, .value_dim = 8, .type = type});
    const std::vector<SequenceId> ids{cache.add()};
    Tokens tokens = Tokens{1, 8, 8}.add(60, random);
    tokens.values[59 * 8 + 3] = infinity;
    cache.append(ids[0], tokens.k(), tokens.v());
    Tensor<float> q({1, 2, 3, 8}), out({1, 2, 3, 8});
    q.fill([&] { return random.uniform(); });
    coca::decode(out.view(), q.view(), cache, ids, coca::Dot{});
    for (Index h = 0; h < 3; ++h) {
      for (Index i = 0; i < 8; ++i) {
        CHECK(std::isfinite(out.view()(0, 0, h, i)));  // the first query does not see the last key
        const bool finite = std::isfinite(out.view()(0, 1, h, i));
        CHECK(finite == (type != ElementType::int8 && i != 3));
      }
    }
    // What was dropped is gone.
    cache.truncate(ids[0], 59);
    coca::decode(out.view(), q.view(), cache, ids, coca::Dot{});
    for (const float x : out.storage()) CHECK(std::isfinite(x));
    cache.truncate(ids[0], 0);
    const Tokens fresh = Tokens{1, 8, 8}.add(4, random);
    cache.append(ids[0], fresh.k(), fresh.v());
    coca::decode(out.view(), q.view(), cache, ids, coca::Dot{});
    for (const float x : out.storage()) CHECK(std::isfinite(x));
  }
}

TEST_CASE("decode says what is wrong before it writes", "[decode]") {
  coca::PagedCache cache({.key_heads = 2, .key_dim = 8, .value_dim = 6});
  std::vector<SequenceId> ids{cache.add()};
  Random random(7);
  const Tokens tokens = Tokens{2, 8, 6}.add(5, random);
  cache.append(ids[0], tokens.k(), tokens.v());
  Tensor<float> q({1, 1, 4, 8}), out({1, 1, 4, 6}), odd({1, 1, 3, 8}), two({2, 1, 4, 8});
  const auto untouched = out.storage();
  coca::AttentionOptions options;
  const auto run = [&](Tensor<float>& query) {
    coca::decode(out.view(), query.view(), cache, ids, coca::Dot{}, coca::Causal{}, options);
  };
  CHECK_THROWS_WITH(run(odd),
                    "coca: q.shape[2] (heads) is 3, expected a multiple of the cache's 2");
  CHECK_THROWS_WITH(run(two),
                    "coca: q.shape[0] (batch) is 2, expected 1 (one entry for each sequence)");
  CHECK_THROWS_WITH(
      coca::decode(out.view(), q.view(), cache, ids, coca::CocaSlack{coca::Rope({.dim = 8})}),
      "coca: cache.key_dim is 8, expected 4 (what the scheme takes)");
  const std::vector<coca::Position> positions(5);
  options.key_ids = {positions.data(), {1, 5}};
  CHECK_THROWS_AS(run(q), std::invalid_argument);
  options = {};
  Tensor<double> wide({1, 1, 4, 8}), wide_out({1, 1, 4, 6});
  CHECK_THROWS_AS(coca::decode(wide_out.view(), wide.view(), cache, ids, coca::Dot{}),
                  std::invalid_argument);
  ids[0] = 9;
  CHECK_THROWS_WITH(run(q), "coca: sequence is 9, expected one that was added, and not dropped");
  CHECK(out.storage() == untouched);
  // No sequence, no work.
  ids.clear();
  Tensor<float> none({0, 1, 4, 8});
  CHECK_NOTHROW(
      coca::decode(Tensor<float>({0, 1, 4, 6}).view(), none.view(), cache, ids, coca::Dot{}));
}

TEST_CASE("an empty sequence gives zeros", "[decode]") {
  coca::PagedCache cache({.key_heads = 1, .key_dim = 4, .value_dim = 4});
  const std::vector<SequenceId> ids{cache.add()};
  Tensor<float> q({1, 1, 2, 4}), out({1, 1, 2, 4});
  q.fill([] { return 1.0F; });
  coca::decode(out.view(), q.view(), cache, ids, coca::Dot{});
  for (const float x : out.storage()) CHECK(x == 0.0F);
}
