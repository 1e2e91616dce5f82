#include <algorithm>
#include <string>
#include <vector>

#include "golden/golden_cases.hpp"
#include "support/any_mask.hpp"

/// Sparse patterns, biases and decays against the Hugging Face library and the papers: the files of
/// make_patterns_golden.py.
namespace {

using namespace test;

GoldenCase golden_pattern(const std::string& name, const std::string& operands = {}) {
  return {.folder = COCA_PATTERNS_GOLDEN_DIR, .name = name, .operands = operands};
}

}  // namespace

TEST_CASE("masks of the Hugging Face library, and of the papers", "[golden]") {
  using coca::SlidingWindow;
  const coca::Causal causal;
  const auto check = [](const std::string& name, const auto& mask) {
    golden_pattern(name, "masks").compare(coca::Dot{}, AnyHiding(mask));
  };
  check("causal_window", causal & SlidingWindow(8, 0));
  check("window", SlidingWindow(5, 5));
  check("sinks_and_window", causal & (coca::SinkTokens{3} | SlidingWindow(9, 0)));
  check("prefix", coca::PrefixLm{11});
  check("dilated", coca::DilatedWindow(2, 1, 3));
  check("chunks", causal & coca::BlockSparse(16, {{0, 0}, {1, 1}, {2, 2}}));

  std::vector<coca::Position> documents(48, 2);
  std::fill_n(documents.begin(), 18, 1);
  std::fill_n(documents.begin(), 13, 0);
  check("documents", causal & coca::Documents({documents.data(), {1, 48}}));

  const Npy list = golden_pattern("blocks").file("list");
  std::vector<coca::BlockSparse::Block> blocks;
  for (std::size_t i = 0; i < list.values.size(); i += 2) {
    blocks.emplace_back(static_cast<Index>(list.values[i]), static_cast<Index>(list.values[i + 1]));
  }
  REQUIRE(blocks.size() >= 6);
  check("blocks", coca::BlockSparse(8, blocks));
}

TEST_CASE("Longformer's attention", "[golden]") {
  GoldenCase longformer = golden_pattern("longformer");
  // Its softmax is in float: a weight is off by the rounding of its score, below 8, of an exponential
  // and of a sum of some 50.
  longformer.rounding = (8.0 + 2.0 + 8.0) * 0x1p-23;
  longformer.compare(coca::Dot{},
                     AnyHiding(coca::SlidingWindow(4, 4) | coca::GlobalTokens({0, 17})));
}

TEST_CASE("ALiBi, as BLOOM and MPT have it", "[golden]") {
  golden_pattern("alibi_bloom").compare(coca::Dot{}, coca::Causal{} & coca::Alibi(8));
  golden_pattern("alibi_mpt").compare(coca::Dot{}, coca::Causal{} & coca::Alibi(6));
}

TEST_CASE("xPos by complex numbers", "[golden]") {
  const coca::XPosOptions fast{.scale_base = 512.0 / 20.0};
  for (const bool interleaved : {false, true}) {
    const coca::Rope rope(
        {.dim = 8,
         .layout = interleaved ? coca::RopeLayout::interleaved : coca::RopeLayout::half_split});
    golden_pattern(interleaved ? "xpos_interleaved" : "xpos_half_split")
        .compare(coca::XPos{coca::Rotary{rope}, fast}, coca::Causal{});
  }
}

TEST_CASE("LM-Infinite's ceiling by complex numbers", "[golden]") {
  const coca::Rope rope({.dim = 8});
  const AnyHiding lambda(coca::Causal{} & (coca::SinkTokens{3} | coca::SlidingWindow(19, 0)));
  using AnyScheme = coca::OneOf<coca::Rotary<>, coca::CocaStrict<>>;
  golden_pattern("ceiling_rotary")
      .compare(coca::DistanceCeiling{AnyScheme{coca::Rotary{rope}}, 12}, lambda);
  GoldenCase strict = golden_pattern("ceiling_strict");
  strict.coca = true;
  strict.compare(coca::DistanceCeiling{AnyScheme{coca::CocaStrict{rope}}, 12}, lambda);
}
