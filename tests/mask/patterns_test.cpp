#include "coca/mask/block_sparse.hpp"
#include "coca/mask/causal.hpp"
#include "coca/mask/dilated_window.hpp"
#include "coca/mask/documents.hpp"
#include "coca/mask/global_tokens.hpp"
#include "coca/mask/sink_tokens.hpp"
#include "coca/mask/sliding_window.hpp"
#include "support/catch.hpp"
#include "support/tiles.hpp"

/// The sparse patterns: who sees whom, and what is said of tiles.
using coca::Site;
using test::classifies_rightly;
using test::Index;

namespace {

bool sees(const auto& mask, Index query, Index key) {
  return mask.visible(Site{.query_index = query, .key_index = key});
}

}  // namespace

TEST_CASE("the patterns are masks, by themselves and together", "[mask]") {
  STATIC_REQUIRE(coca::Mask<coca::SinkTokens>);
  STATIC_REQUIRE(coca::Mask<coca::DilatedWindow>);
  STATIC_REQUIRE(coca::Mask<coca::GlobalTokens>);
  STATIC_REQUIRE(coca::Mask<coca::BlockSparse>);
  STATIC_REQUIRE(coca::Mask<coca::Documents>);
  STATIC_REQUIRE(coca::Mask<decltype(coca::SinkTokens{4} | coca::SlidingWindow{9, 0})>);
  STATIC_REQUIRE(coca::Mask<decltype(coca::Causal{} & coca::GlobalTokens{{}})>);
}

TEST_CASE("either of two masks shows a key", "[mask]") {
  const auto lambda = coca::Causal{} & (coca::SinkTokens{4} | coca::SlidingWindow{9, 0});
  for (Index query = 0; query < 40; ++query) {
    for (Index key = 0; key < 40; ++key) {
      const bool expected = key <= query && (key < 4 || query - key <= 9);
      CHECK(sees(lambda, query, key) == expected);
    }
  }
  test::Random random(74);
  CHECK(classifies_rightly(lambda, 60, 60, 0, 0, random, false));
  CHECK(classifies_rightly(lambda, 60, 60, 30, 2, random, false));
}

TEST_CASE("sink tokens are the first ones, wherever the tensor starts", "[mask]") {
  const coca::SinkTokens sinks{4};
  CHECK(sees(sinks, 100, 3));
  CHECK_FALSE(sees(sinks, 100, 4));
  CHECK(sinks.visible(Site{.key_index = 1, .key_offset = 2}));
  CHECK_FALSE(sinks.visible(Site{.key_index = 2, .key_offset = 2}));
  test::Random random(75);
  CHECK(classifies_rightly(sinks, 30, 30, 0, 0, random));
  CHECK(classifies_rightly(sinks, 30, 30, 5, 2, random));
  CHECK_THROWS_WITH(coca::SinkTokens{-1}, "coca: sinks.count is -1, expected 0 or more tokens");
}

TEST_CASE("a dilated window sees every so many keys", "[mask]") {
  const coca::DilatedWindow window(2, 1, 3);
  for (Index key = 0; key < 30; ++key) {
    CHECK(sees(window, 15, key) == (key == 9 || key == 12 || key == 15 || key == 18));
  }
  const Index unlimited = coca::SlidingWindow::unlimited;
  CHECK(sees(coca::DilatedWindow(unlimited, 0, 7), 700'000'000, 7));
  CHECK_FALSE(sees(coca::DilatedWindow(unlimited, 0, 7), 700'000'000, 8));
  test::Random random(76);
  for (const Index dilation : {1, 2, 5}) {
    CHECK(classifies_rightly(coca::DilatedWindow(6, 3, dilation), 80, 80, 4, 0, random, false));
  }
  // Without gaps it is a window, and knows whole tiles.
  CHECK(classifies_rightly(coca::DilatedWindow(20, 20, 1), 60, 60, 0, 0, random, false));
  CHECK(coca::DilatedWindow(20, 20, 1).classify(
            {.query_begin = 20, .query_end = 22, .key_begin = 18, .key_end = 24}) ==
        coca::Coverage::full);
  CHECK_THROWS_WITH(coca::DilatedWindow(1, 1, 0),
                    "coca: window.dilation is 0, expected 1 or more tokens");
  CHECK_THROWS_WITH(coca::DilatedWindow(-1, 1, 2),
                    "coca: window.left is -2, expected from 0 to SlidingWindow::unlimited");
}

TEST_CASE("global tokens see all and are seen by all", "[mask]") {
  const coca::GlobalTokens global({7, 0, 7});
  for (Index query = 0; query < 12; ++query) {
    for (Index key = 0; key < 12; ++key) {
      CHECK(sees(global, query, key) == (query == 0 || query == 7 || key == 0 || key == 7));
    }
  }
  test::Random random(77);
  CHECK(
      classifies_rightly(coca::GlobalTokens({0, 1, 2, 3, 4, 5, 20, 33, 34}), 40, 40, 0, 0, random));
  CHECK(
      classifies_rightly(coca::GlobalTokens({0, 1, 2, 3, 4, 5, 20, 33, 34}), 40, 40, 3, 1, random));
  CHECK(classifies_rightly(coca::GlobalTokens({}), 40, 40, 0, 0, random));
  CHECK_THROWS_WITH(coca::GlobalTokens({3, -2}),
                    "coca: global.positions is -2, expected 0 or more");
}

TEST_CASE("Longformer: a window on both sides, and global tokens", "[mask]") {
  const auto longformer = coca::SlidingWindow{2, 2} | coca::GlobalTokens{{5}};
  for (Index query = 0; query < 12; ++query) {
    for (Index key = 0; key < 12; ++key) {
      CHECK(sees(longformer, query, key) == (std::abs(query - key) <= 2 || query == 5 || key == 5));
      CHECK(sees(longformer, query, key) == sees(longformer, key, query));
    }
  }
  test::Random random(78);
  CHECK(classifies_rightly(longformer, 40, 40, 0, 0, random, false));
}

TEST_CASE("blocks of a list are seen", "[mask]") {
  const coca::BlockSparse blocks(4, {{0, 0}, {1, 0}, {1, 1}, {2, 2}, {1, 0}});
  CHECK(sees(blocks, 0, 3));
  CHECK_FALSE(sees(blocks, 0, 4));
  CHECK(sees(blocks, 7, 0));
  CHECK_FALSE(sees(blocks, 8, 7));
  CHECK(sees(blocks, 8, 11));
  // A position before the first block is in none that could be listed.
  CHECK_FALSE(blocks.visible(Site{.query_index = 0, .key_index = 0, .key_offset = -1}));
  test::Random random(79);
  std::vector<coca::BlockSparse::Block> some;
  for (Index query = 0; query < 12; ++query) {
    for (Index key = 0; key < 12; ++key) {
      if (random.uniform() < 0.3) some.emplace_back(query, key);
    }
  }
  for (const Index size : {1, 3, 4, 16}) {
    CHECK(classifies_rightly(coca::BlockSparse(size, some), 40, 40, 0, 0, random));
    CHECK(classifies_rightly(coca::BlockSparse(size, some), 40, 40, 5, 2, random));
  }
  CHECK_THROWS_WITH(coca::BlockSparse(0, {}), "coca: blocks.size is 0, expected 1 or more tokens");
  CHECK_THROWS_WITH(coca::BlockSparse(4, {{-1, 0}}),
                    "coca: blocks.query is -1, expected 0 or more");
  CHECK_THROWS_WITH(coca::BlockSparse(4, {{0, -3}}), "coca: blocks.key is -3, expected 0 or more");
}

TEST_CASE("documents see themselves", "[mask]") {
  std::vector<coca::Position> ids(60);
  for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = i < 25 ? 4 : i < 26 ? 9 : 2;
  const coca::Documents documents({ids.data(), {1, 60}});
  CHECK(sees(documents, 24, 0));
  CHECK_FALSE(sees(documents, 25, 24));
  CHECK(sees(documents, 59, 26));
  test::Random random(80);
  CHECK(classifies_rightly(documents, 60, 60, 0, 0, random, false));
  CHECK(classifies_rightly(documents, 50, 50, 10, 4, random, false));
  // In any order, which need not be that of the sequence.
  for (coca::Position& id : ids) id = random.integer(0, 3);
  CHECK(classifies_rightly(documents, 60, 60, 0, 0, random, false));

  const coca::AttentionShape shape{.batch = 3};
  CHECK_THROWS_WITH(coca::Documents({ids.data(), {2, 30}}).check(shape),
                    "coca: documents.ids is of shape [2, 30], expected [3 or 1, tokens]");
}
