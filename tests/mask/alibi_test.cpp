#include "coca/mask/alibi.hpp"

#include <cmath>

#include "coca/coca.hpp"
#include "coca/mask/causal.hpp"
#include "coca/mask/tensor_mask.hpp"
#include "coca/reference/attention.hpp"
#include "support/bounds.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"

namespace {

using namespace test;

/// The largest difference between attention under `mask` in T and the reference.
template <class T, class M>
double difference(const M& mask, Index queries, Index keys, double soft_cap) {
  Random random(83);
  const Index heads = 3;
  Tensor<T> q({2, queries, heads, 16}, random), k({2, keys, heads, 16}, random),
      v({2, keys, heads, 16}, random), out({2, queries, heads, 16}, random);
  for (auto* x : {&q, &k, &v}) x->fill([&] { return random.uniform(); });
  Tensor<double> expected(out.view().shape);
  coca::AttentionOptions options;
  options.soft_cap = soft_cap;
  coca::attention(out.view(), q.view(), k.view(), v.view(), coca::Dot{}, mask, options);
  coca::reference::attention(expected.view(), widened(q).view(), widened(k).view(),
                             widened(v).view(), coca::reference::DotScore{}, mask, options);
  return largest_difference(out, expected);
}

/// The same bias, asked for pair by pair.
struct SlowAlibi : coca::MaskDefaults {
  coca::Alibi alibi;
  double bias(const coca::Site& site) const { return coca::added_to_score(alibi, site); }
};

}  // namespace

TEST_CASE("ALiBi's slopes for any number of heads", "[position]") {
  CHECK(coca::alibi_slopes(0).empty());
  CHECK(coca::alibi_slopes(1) == std::vector<double>{0x1p-8});
  const std::vector<double> eight = coca::alibi_slopes(8);
  for (std::size_t i = 0; i < 8; ++i) CHECK(eight[i] == std::exp2(-1.0 - static_cast<double>(i)));
  // Of 12 heads: those of 8, then every other one of 16.
  const std::vector<double> twelve = coca::alibi_slopes(12);
  REQUIRE(twelve.size() == 12);
  for (std::size_t i = 0; i < 8; ++i) CHECK(twelve[i] == eight[i]);
  for (std::size_t i = 0; i < 4; ++i) {
    CHECK(twelve[8 + i] == std::exp2(-0.5 - static_cast<double>(i)));
  }
}

TEST_CASE("ALiBi is a bias that falls with the distance", "[mask]") {
  const coca::Alibi alibi(3);
  // Scores of up to 4 and biases of up to 150: a weight is off by so much of its own.
  const double score = 160.0;
  struct Lengths {
    Index queries, keys;
  };
  for (const double soft_cap : {0.0, 0.7}) {
    for (const Lengths& length : {Lengths{150, 150}, Lengths{7, 130}, Lengths{130, 9}}) {
      INFO("cap " << soft_cap << ", " << length.queries << " queries, " << length.keys << " keys");
      const auto check = [&](const auto& mask) {
        CHECK(difference<float>(mask, length.queries, length.keys, soft_cap) <=
              8.0 * score * kUnit<float>);
        CHECK(difference<double>(mask, length.queries, length.keys, soft_cap) <=
              8.0 * score * kUnit<double>);
      };
      check(alibi);
      check(coca::Causal{} & alibi);
      check(coca::Causal{} & alibi & coca::Alibi(std::vector{0.5, -0.25, 0.0}));
      check(coca::Causal{} & alibi & SlowAlibi{{}, coca::Alibi(3)});
    }
  }
}

TEST_CASE("slopes must be finite, and one a head", "[mask]") {
  CHECK_THROWS_WITH(coca::Alibi(std::vector<double>{INFINITY}),
                    "coca: alibi.slopes is inf, expected finite");
  const Eigen::MatrixXf x = Eigen::MatrixXf::Ones(4, 2);
  Eigen::MatrixXf out(4, 2);
  CHECK_THROWS_WITH(coca::attention(out, x, x, x, coca::Dot{}, coca::Alibi(3)),
                    "coca: alibi.slopes.size is 3, expected 1 (query heads)");
}
