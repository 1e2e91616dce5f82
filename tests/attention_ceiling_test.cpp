#include <algorithm>
#include <cmath>
#include <vector>

#include "coca/coca.hpp"
#include "coca/reference/attention.hpp"
#include "kernel/forward_cases.hpp"
#include "support/bounds.hpp"
#include "support/catch.hpp"
#include "support/effort.hpp"
#include "support/forms.hpp"
#include "support/random.hpp"
#include "support/tokens.hpp"

/// LM-Infinite's distance ceiling, held against its definition.
namespace {

using namespace test;
using coca::DistanceCeiling;
using coca::Site;

/// The Lambda-shaped mask, or any other.
AnyMask some_mask(Random& random) {
  if (random.integer(0, 1) == 0) return random_mask(random);
  return AnyMask(coca::Causal{} & (coca::SinkTokens{random.integer(0, 20)} |
                                   coca::SlidingWindow{random.integer(0, 90), 0}));
}

/// One of those forms whose scores are functions of the distance, as they are in one type.
template <class Visit>
void for_each_relative_form(const coca::Rope& rope, const Visit& visit) {
  for_each_any_form(rope, [&](const auto& form) {
    if constexpr (std::is_same_v<decltype(form.scheme), AnyScheme>) {
      if (form.scheme.shift_invariant()) visit(form);
    }
  });
}

/// [batch, queries, heads, ...], and what the reference makes of it.
struct CeilingCase {
  Index batch, queries, keys, key_heads, heads, dim, value_dim;
  Tensor<float> q, k, v, out;
  Tensor<double> expected;
  std::vector<float> lse, sinks;
  std::vector<double> expected_lse;

  CeilingCase(const Sizes& s, bool half_width, Random& random)
      : batch(s.batch),
        queries(s.queries),
        keys(s.keys),
        key_heads(s.key_heads),
        heads(s.key_heads * s.group),
        dim(s.dim),
        value_dim(s.value_dim),
        q({batch, queries, heads, dim}),
        k({batch, keys, key_heads, half_width ? dim / 2 : dim}),
        v({batch, keys, key_heads, value_dim}),
        out({batch, queries, heads, value_dim}, random),
        expected({batch, queries, heads, value_dim}),
        lse(static_cast<std::size_t>(batch * heads * queries)),
        sinks(static_cast<std::size_t>(heads)),
        expected_lse(lse.size()) {
    q.fill([&] { return random.uniform(); });
    k.fill([&] { return half_width ? std::fabs(random.uniform()) : random.uniform(); });
    v.fill([&] { return random.uniform(); });
    for (float& sink : sinks) sink = static_cast<float>(random.uniform());
  }
  AttentionOptions options(Random& random) {
    AttentionOptions all{.lse = coca::View<float, 3>(lse.data(), {batch, heads, queries})};
    if (random.integer(0, 1) == 0) all.sinks = coca::View<const float, 1>(sinks.data(), {heads});
    if (random.integer(0, 2) == 0) all.soft_cap = 0.5;
    return all;
  }

  template <class AForm, class M>
  void check(const AForm& form, Index ceiling, const M& mask, AttentionOptions options) {
    options.lse = coca::View<double, 3>(expected_lse.data(), {batch, heads, queries});
    reference::attention(expected.view(), widened(q).view(), widened(k).view(), widened(v).view(),
                         reference::CeilingScore<AnyScore>{AnyScore(form.definition), ceiling},
                         mask, options);
    const double scale = 1.0 / std::sqrt(static_cast<double>(dim));
    const double magnitude = scale * (form.coca ? coca_magnitude(longest_row(q), largest(k))
                                                : linear_magnitude(longest_row(q), longest_row(k)));
    const Bounds bounds =
        attention_bounds<float, float>(magnitude, options.soft_cap + 1.0, largest(v), dim, keys);
    CHECK(largest_difference(out, expected) <= bounds.out);
    double worst = 0.0;
    for (std::size_t i = 0; i < lse.size(); ++i) {
      worst = worse(worst, static_cast<double>(lse[i]), expected_lse[i]);
    }
    CHECK(worst <= bounds.lse);
  }
};

}  // namespace

TEST_CASE("beyond the ceiling, keys are as if at the ceiling", "[ceiling]") {
  for (std::uint64_t seed = 0; seed < share_of(12U); ++seed) {
    Random random(8000 + seed);
    const Sizes sizes = random_sizes(random);
    // With a key just beyond it, too.
    const Index ceiling =
        random.pick(std::array<Index, 6>{0, 3, 40, 64, 1000, std::max<Index>(sizes.keys - 2, 0)});
    for_each_relative_form(random_rope(random, sizes.dim), [&](const auto& form) {
      INFO("seed " << seed << ", " << form.name << ", ceiling " << ceiling << ", queries "
                   << sizes.queries << ", keys " << sizes.keys);
      CeilingCase c(sizes, form.half_width, random);
      AttentionOptions options = c.options(random);
      if (random.integer(0, 1) == 0) options.first_key = random.integer(-50, 1000);
      if (random.integer(0, 1) == 0) {
        options.first_query = options.first_key + random.integer(-20, 200);
      }
      const AnyMask mask = some_mask(random);
      coca::attention(c.out.view(), c.q.view(), c.k.view(), c.v.view(),
                      DistanceCeiling{form.scheme, ceiling}, mask, options);
      c.check(form, ceiling, mask, options);
    });
  }
}

TEST_CASE("decode has the same ceiling", "[ceiling]") {
  for (std::uint64_t seed = 0; seed < share_of(8U); ++seed) {
    Random random(8100 + seed);
    Sizes sizes = random_sizes(random);
    sizes.queries = random.pick(std::array<Index, 4>{1, 1, 3, 70});
    sizes.keys = sizes.queries + random.integer(0, sizes.queries > 3 ? 300 : 1500);
    sizes = with_few_pairs(sizes);
    const Index ceiling =
        random.pick(std::array<Index, 5>{0, 30, 200, 2000, std::max<Index>(sizes.keys - 2, 0)});
    for_each_relative_form(random_rope(random, sizes.dim), [&](const auto& form) {
      INFO("seed " << seed << ", " << form.name << ", ceiling " << ceiling << ", queries "
                   << sizes.queries << ", keys " << sizes.keys);
      CeilingCase c(sizes, form.half_width, random);
      coca::PagedCache cache({.key_heads = sizes.key_heads,
                              .key_dim = c.k.view().shape[3],
                              .value_dim = sizes.value_dim});
      std::vector<coca::SequenceId> ids;
      for (Index b = 0; b < sizes.batch; ++b) ids.push_back(cache.add());
      cache.append(ids, c.k.view(), c.v.view());
      AttentionOptions options = c.options(random);
      options.first_key = random.integer(0, 5000);
      const AnyMask mask = some_mask(random);
      coca::decode(c.out.view(), c.q.view(), cache, ids, DistanceCeiling{form.scheme, ceiling},
                   mask, options);
      c.check(form, ceiling, mask, options);
    });
  }
}

TEST_CASE("decode has it too where keys turn in registers", "[ceiling]") {
  for (std::uint64_t seed = 0; seed < share_of(4U); ++seed) {
    Random random(8150 + seed);
    const Sizes sizes{1, 1, random.integer(200, 1500), 2, 3, 2 * random.integer(3, 20), 12};
    for_each_form(random_rope(random, sizes.dim), [&](const auto& form) {
      using S = std::remove_cvref_t<decltype(form.scheme)>;
      if constexpr (coca::TurnsKeys<S> && !std::is_same_v<S, coca::CocaSlack<>>) {
        STATIC_REQUIRE(coca::TurnsKeys<coca::AtDistance<S>>);
        INFO("seed " << seed << ", " << form.name);
        CeilingCase c(sizes, form.half_width, random);
        coca::GrowingCache cache({.key_heads = sizes.key_heads,
                                  .key_dim = c.k.view().shape[3],
                                  .value_dim = sizes.value_dim});
        const std::vector<coca::SequenceId> ids{cache.add()};
        cache.append(ids, c.k.view(), c.v.view());
        const AttentionOptions options = c.options(random);
        coca::decode(c.out.view(), c.q.view(), cache, ids, DistanceCeiling{form.scheme, 100},
                     coca::Causal{}, options);
        c.check(form, 100, coca::Causal{}, options);
      }
    });
  }
}

TEST_CASE("packed sequences are what they are alone under a ceiling", "[ceiling]") {
  Random random(8200);
  const AnyScheme strict = coca::CocaStrict{coca::Rope({.dim = 16})};
  const DistanceCeiling scheme{strict, 30};
  const AnyMask mask(coca::Causal{});
  const std::vector<std::int32_t> starts{0, 20, 20, 150};
  Tensor<float> q({1, 150, 4, 16}), t({1, 150, 2, 8}), v({1, 150, 2, 12}), out({1, 150, 4, 12}),
      alone({1, 150, 4, 12});
  for (auto* x : {&q, &t, &v}) x->fill([&] { return std::fabs(random.uniform()); });
  const auto packed = [](Tensor<float>& x) {
    return coca::View<float, 3>(x.storage().data(), {150, x.view().shape[2], x.view().shape[3]});
  };
  coca::packed_attention(packed(out), packed(q), packed(t), packed(v), starts, starts, scheme,
                         mask);
  for (const auto& [first, end] : {std::pair<Index, Index>{0, 20}, {20, 150}}) {
    const auto part = [first = first, end = end](Tensor<float>& x) {
      auto some = x.view();
      some.data = &some(0, first, 0, 0);
      some.shape[1] = end - first;
      return some;
    };
    coca::attention(part(alone), part(q), part(t), part(v), scheme, mask);
  }
  CHECK(out.storage() == alone.storage());
}

TEST_CASE("what a mask adds by the distance stops at the ceiling", "[ceiling]") {
  // ALiBi under a ceiling, by its formula.
  struct CappedAlibi : coca::MaskDefaults {
    coca::Alibi alibi{4};
    bool visible(const Site& site) const { return site.key() <= site.query(); }
    double bias(const Site& site) const {
      return -alibi.slope(site.head) *
             std::min(static_cast<double>(site.query() - site.key()), 9.0);
    }
  };
  Random random(8300);
  Tensor<double> q({1, 90, 4, 8}), k({1, 90, 2, 8}), v({1, 90, 2, 8}), out({1, 90, 4, 8}),
      expected({1, 90, 4, 8});
  for (auto* x : {&q, &k, &v}) x->fill([&] { return random.uniform(); });
  coca::attention(out.view(), q.view(), k.view(), v.view(), DistanceCeiling{coca::Dot{}, 9},
                  coca::Causal{} & coca::Alibi{4});
  reference::attention(expected.view(), q.view(), k.view(), v.view(), reference::DotScore{},
                       CappedAlibi{});
  CHECK(largest_difference(out, expected) <= 1e-13);
}

TEST_CASE("a logit transform is told the distance of the ceiling", "[ceiling]") {
  struct Distance {
    double operator()(double score, const Site& site) const {
      return score + static_cast<double>(site.query() - site.key());
    }
  };
  const coca::AtDistance scheme(coca::WithLogits(coca::Dot{}, Distance{}), 7);
  const Site site{.query_index = 100, .key_index = 20, .query_offset = 5, .key_offset = 3};
  CHECK(scheme.logit(0.5, site) == 7.5);
  const Site moved = coca::at_distance(site, 7);
  CHECK((moved.key_index == 20 && moved.query() == 105 && moved.key() == 98));
}

TEST_CASE("a ceiling changes nothing below it, nor does the number of threads", "[ceiling]") {
  Random random(8400);
  const AnyScheme rotary = coca::Rotary{coca::Rope({.dim = 16})};
  const AnyMask lambda(coca::Causal{} & (coca::SinkTokens{4} | coca::SlidingWindow{99, 0}));
  Tensor<float> q({2, 300, 4, 16}), k({2, 300, 2, 16}), v({2, 300, 2, 16}), out({2, 300, 4, 16});
  for (auto* x : {&q, &k, &v}) x->fill([&] { return random.uniform(); });
  Eigen::ThreadPool pool(3);
  const auto attend = [&](Index ceiling, int threads) {
    coca::attention(out.view(), q.view(), k.view(), v.view(), DistanceCeiling{rotary, ceiling},
                    lambda, {}, Eigen::ThreadPoolDevice(&pool, threads));
    return out.storage();
  };
  const std::vector<float> below = attend(299, 1);
  CHECK(below == attend(coca::SlidingWindow::unlimited * 3, 2));
  const std::vector<float> low = attend(150, 1);
  CHECK(low != below);
  for (const int threads : {2, 3}) CHECK(attend(150, threads) == low);

  // Narrow outputs are rounded when they are stored, and when they are merged.
  Tensor<Eigen::bfloat16> narrow({2, 300, 4, 16});
  coca::attention(narrow.view(), q.view(), k.view(), v.view(), DistanceCeiling{rotary, 150}, lambda,
                  {}, Eigen::ThreadPoolDevice(&pool, 1));
  CHECK(largest_difference(narrow, widened(out)) <= 2.0 * storage_unit<Eigen::bfloat16>());
}

TEST_CASE("a ceiling needs a distance", "[ceiling]") {
  const coca::Rope rope({.dim = 16});
  const std::string refusal =
      "coca: scheme is one whose score is no function of the distance m - n, expected one whose "
      "score is, as Dot, Rotary, CocaStrict and CocaConstrained with a Rope";
  CHECK_THROWS_WITH((DistanceCeiling{coca::CocaSlack{rope}, 5}), refusal);
  CHECK_THROWS_WITH((DistanceCeiling{coca::XPos{coca::CocaSlack{rope}}, 5}), refusal);
  CHECK_THROWS_WITH((DistanceCeiling{AnyScheme{coca::CocaSlack{rope}}, 5}), refusal);
  const std::vector<coca::Position> ids(2 * 4);
  const coca::MultiRope places(rope, std::vector<Index>(8), {ids.data(), {2, 1, 4}});
  CHECK_THROWS_WITH((DistanceCeiling{coca::Rotary{places}, 5}), refusal);
  const coca::MultiRope no_places(rope, std::vector<Index>(8), {ids.data(), {2, 1, 0}});
  CHECK_NOTHROW(DistanceCeiling{coca::CocaStrict{no_places}, 5});
  CHECK_NOTHROW(DistanceCeiling{coca::XPos{coca::CocaConstrained{rope}}, 5});
  CHECK_THROWS_WITH((DistanceCeiling{coca::Dot{}, -1}),
                    "coca: distance is -1, expected 0 or more tokens");

  // Position ids would give distances of their own; and what is wrong is said before anything is
  // written, as without a ceiling.
  const DistanceCeiling strict{AnyScheme{coca::CocaStrict{rope}}, 5};
  const AnyMask mask(coca::Causal{});
  Tensor<float> q({1, 40, 2, 16}), t({1, 40, 1, 8}), v({1, 40, 1, 8}), out({1, 40, 2, 8});
  for (auto* x : {&q, &t, &v}) x->fill([&] { return 0.5; });
  const auto untouched = out.storage();
  const auto attend = [&](const Tensor<float>& key, const AttentionOptions& options) {
    coca::attention(out.view(), q.view(), key.view(), v.view(), strict, mask, options);
  };
  CHECK_THROWS_WITH(attend(t, {.key_ids = {ids.data(), {1, 8}}}),
                    "coca: options.query_ids or key_ids is given, expected none beside a distance "
                    "ceiling: distances are those of places");
  CHECK_THROWS_WITH(attend(v, {.scale = 1.0, .soft_cap = std::nan("")}),
                    "coca: options.soft_cap is nan, expected 0 (none) or positive, and finite");
  std::vector<float> lse(80);
  CHECK_THROWS_AS(attend(t, {.lse = coca::View<float, 3>(lse.data(), {1, 40, 2})}),
                  std::invalid_argument);
  CHECK_THROWS_AS(attend(t, {.soft_cap = -1.0}), std::invalid_argument);
  CHECK(out.storage() == untouched);
}
