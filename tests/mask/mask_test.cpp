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

TEST_CASE("full visits every tile and asks about no pair", "[mask]") {
  TileCounts counts;
  count_tiles(coca::Full{}, 1024, counts);
  CHECK(counts.full == 16 * 16);
  CHECK(counts.all() == counts.full);
  CHECK(counts.pairs == 0);
}

TEST_CASE("causal visits half of the tiles and asks about the diagonal only", "[mask]") {
  TileCounts counts;
  count_tiles(coca::Causal{}, 1024, counts);
  CHECK(counts.all() == 16 * 16);
  CHECK(counts.visited() == 16 * 17 / 2);
  CHECK(counts.mixed == 16);
  CHECK(counts.pairs == 16 * 64 * 64);
}

TEST_CASE("a window visits O(N w) tiles", "[mask]") {
  for (const Index length : {1024, 2048, 4096}) {
    TileCounts counts;
    count_tiles(coca::SlidingWindow(127, 0), length, counts);
    // 128 tokens to the left are three tiles for every tile of queries but the first two.
    CHECK(counts.visited() == 3 * (length / 64) - 3);
  }
}

TEST_CASE("grouped heads share the tiles' keys and keep their own rows", "[mask]") {
  // Four heads a group: a tile of 64 rows is 16 queries, and so nearer to the diagonal.
  Eigen::Tensor<float, 4, Eigen::RowMajor> q(1, 256, 4, 2), k(1, 256, 1, 2), out(1, 256, 4, 2);
  q.setConstant(1.0F);
  k.setConstant(1.0F);
  TileCounts counts;
  coca::attention(out, q, k, k, coca::Dot{}, Counted<coca::Causal>({}, counts));
  CHECK(counts.all() == 16 * 4);
  CHECK(counts.visited() == 4 * (1 + 2 + 3 + 4));
  CHECK(counts.mixed == 16);
}
