#include "coca/mask/mask.hpp"

#include "coca/coca.hpp"
#include "support/catch.hpp"
#include "support/tiles.hpp"

namespace {

using namespace test;

struct Even : coca::MaskDefaults {
  bool visible(const coca::Site& site) const { return site.key() % 2 == 0; }
};
struct Ramp : coca::MaskDefaults {
  bool visible(const coca::Site&) const { return true; }
  double bias(const coca::Site& site) const { return static_cast<double>(site.key()); }
};

/// Tiles that one head of `length` tokens visits.
template <class M>
void count_tiles(const M& mask, Index length, TileCounts& counts) {
  const Eigen::MatrixXf x = Eigen::MatrixXf::Ones(length, 2);
  Eigen::MatrixXf out(length, 2);
  coca::attention(out, x, x, x, coca::Dot{}, Counted<M>(mask, counts));
}

}  // namespace

TEST_CASE("masks combine: both must show a key, biases add up", "[mask]") {
  const auto both = Even{} & coca::Causal{} & Ramp{} & Ramp{};
  const coca::Site site{.query_index = 9, .key_index = 4};
  CHECK(both.visible(site));
  CHECK_FALSE(both.visible(coca::Site{.query_index = 9, .key_index = 5}));
  CHECK_FALSE(both.visible(coca::Site{.query_index = 2, .key_index = 4}));
  CHECK(both.bias(site) == 8.0);
  STATIC_REQUIRE(coca::Biased<decltype(both)>);
  STATIC_REQUIRE_FALSE(coca::Biased<decltype(Even{} & coca::Causal{})>);
  Random random(91);
  CHECK(classifies_rightly(coca::Causal{} & coca::SlidingWindow(5, 0) & coca::PrefixLm(3), 40, 40,
                           0, 0, random, false));
  CHECK(classifies_rightly(Even{} & coca::Causal{}, 40, 40, 0, 0, random, false));
}

TEST_CASE("full computes every pair and asks about none", "[mask]") {
  TileCounts counts;
  count_tiles(coca::Full{}, 1024, counts);
  CHECK(counts.computed == 1024 * 1024);
  CHECK(counts.asked == 0);
}

TEST_CASE("causal computes half of the pairs and asks about the diagonal only", "[mask]") {
  TileCounts counts;
  const Index length = 1024;
  count_tiles(coca::Causal{}, length, counts);
  // Above the diagonal, no more than a group of rows by a panel of keys.
  const auto& engine = coca::detail::tile_engine<float>(coca::target());
  const Index edge = length * (coca::detail::kRowGroup + engine.vector);
  CHECK(counts.computed >= length * (length + 1) / 2);
  CHECK(counts.computed <= length * (length + 1) / 2 + edge);
  CHECK(counts.asked <= 2 * edge);
}

TEST_CASE("a window computes O(N w) pairs", "[mask]") {
  const auto& engine = coca::detail::tile_engine<float>(coca::target());
  for (const Index length : {1024, 2048, 4096}) {
    TileCounts counts;
    count_tiles(coca::SlidingWindow(127, 0), length, counts);
    CHECK(counts.computed >= 128 * (length - 128));
    CHECK(counts.computed <= (128 + 2 * (coca::detail::kRowGroup + engine.vector)) * length);
  }
}

TEST_CASE("grouped heads keep their own rows of a shared tile", "[mask]") {
  // Three heads a group: a group of rows is heads of few queries, and so nearer to the diagonal.
  Eigen::Tensor<float, 4, Eigen::RowMajor> q(1, 256, 3, 2), k(1, 256, 1, 2), out(1, 256, 3, 2);
  q.setConstant(1.0F);
  k.setConstant(1.0F);
  TileCounts counts;
  coca::attention(out, q, k, k, coca::Dot{}, Counted<coca::Causal>({}, counts));
  const auto& engine = coca::detail::tile_engine<float>(coca::target());
  CHECK(counts.computed >= 3 * 256 * 257 / 2);
  CHECK(counts.computed <=
        3 * (256 * 257 / 2 + 256 * (coca::detail::kRowGroup / 3 + engine.vector)));
}
