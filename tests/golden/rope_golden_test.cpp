#include <array>
#include <cmath>
#include <coca/position/clex.hpp>
#include <coca/position/multi_rope.hpp>
#include <coca/position/ntk.hpp>
#include <coca/position/rope.hpp>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "hugging_face/rope_config.hpp"
#include "support/catch.hpp"
#include "support/npy.hpp"

/// Scaled frequencies against the Hugging Face library: the files of make_rope_golden.py.
namespace {

using coca::Index;

const std::string folder = COCA_ROPE_GOLDEN_DIR;

double at(const test::Npy& file, Index row, Index column) {
  return file.values[static_cast<std::size_t>(row * file.shape[1] + column)];
}

}  // namespace

TEST_CASE("ropes of Hugging Face configurations", "[golden]") {
  for (const char* name :
       {"default", "large_base", "linear", "dynamic", "ntk", "yarn", "yarn_qwen", "yarn_all",
        "yarn_attention_factor", "llama3", "longrope", "partial", "rope_parameters"}) {
    const nlohmann::json config =
        nlohmann::json::parse(std::ifstream(folder + "/" + name + ".json"));
    const test::Npy expected = test::read_npy(folder + "/" + name + ".npy");
    const coca::Rope rope = hugging_face::rope_from_config(config);
    REQUIRE(2 * (expected.shape[1] - 2) == rope.rotary_dim());
    double worst = 0.0;
    for (Index row = 0; row < expected.shape[0]; ++row) {
      const auto length = static_cast<Index>(at(expected, row, 0));
      INFO(name << ", " << length << " tokens");
      const coca::Rope here = rope.at_length(length);
      CHECK(here.attention_factor() == Approx(at(expected, row, 1)).epsilon(1e-12));
      for (Index j = 0; j < rope.rotary_dim() / 2; ++j) {
        const double theta = here.inv_freq()[static_cast<std::size_t>(j)];
        worst = std::max(worst, std::fabs(at(expected, row, 2 + j) / theta - 1.0));
      }
      // The same when it is made for that length.
      const coca::Rope made = hugging_face::rope_from_config(config, length);
      CHECK(std::ranges::equal(made.inv_freq(), here.inv_freq()));
    }
    INFO(name << " is off by " << worst);
    // Theirs are powers in float: half an ulp of an exponent of up to 1, times ln(base) of up to 14
    // (more with the dynamic base), and a few operations. And where YaRN's ramp leaves little of a
    // frequency but its interpolation, half an ulp of 1 is `factor` times as much of that.
    const double factor =
        config.value("rope_scaling", nlohmann::json::object()).value("factor", 1.0);
    CHECK(worst <= (24.0 + factor) * 0x1p-24);
  }
}

TEST_CASE("NTK-aware scaling is the dynamic one at a length of so many times the trained one",
          "[golden]") {
  const test::Npy expected = test::read_npy(folder + "/ntk.npy");
  Index compared = 0;
  for (Index row = 0; row < expected.shape[0]; ++row) {
    const double factor = at(expected, row, 0) / 4096.0;
    if (factor < 1.0) continue;
    const coca::Rope rope({.dim = 128, .base = 10000.0, .scaling = coca::NtkAware{factor}});
    INFO("factor " << factor);
    ++compared;
    double worst = 0.0;
    for (Index j = 0; j < 64; ++j) {
      const double theta = rope.inv_freq()[static_cast<std::size_t>(j)];
      worst = std::max(worst, std::fabs(at(expected, row, 2 + j) / theta - 1.0));
    }
    CHECK(worst <= 25.0 * 0x1p-24);
  }
  CHECK(compared == 5);
}

TEST_CASE("a configuration of an unknown type is refused", "[golden]") {
  const nlohmann::json config = nlohmann::json::parse(
      R"({"head_dim": 64, "rope_scaling": {"rope_type": "spiral", "factor": 2.0}})");
  CHECK_THROWS_WITH(hugging_face::rope_from_config(config),
                    "hugging_face: rope_type is spiral, expected default, linear, dynamic, yarn, "
                    "llama3 or longrope");
}

TEST_CASE("a configuration without heads is refused", "[golden]") {
  const nlohmann::json config =
      nlohmann::json::parse(R"({"hidden_size": 64, "num_attention_heads": 0})");
  CHECK_THROWS_WITH(hugging_face::rope_from_config(config),
                    "hugging_face: num_attention_heads is 0, expected 1 or more");
}

TEST_CASE("positions of three axes, as Qwen2-VL and Qwen3-VL have them", "[golden]") {
  const coca::Rope base({.dim = 128, .base = 1e6});
  for (const bool in_turn : {false, true}) {
    const std::string name = in_turn ? "qwen3_vl" : "qwen2_vl";
    INFO(name);
    const test::Npy ids = test::read_npy(folder + "/" + name + ".ids.npy");
    const test::Npy cosines = test::read_npy(folder + "/" + name + ".cos.npy");
    const test::Npy sines = test::read_npy(folder + "/" + name + ".sin.npy");
    const std::vector<coca::Position> positions(ids.values.begin(), ids.values.end());
    const Index tokens = ids.shape[1];
    const std::vector<Index> axes = in_turn
                                        ? coca::axes_in_turn(std::array<Index, 3>{24, 20, 20})
                                        : coca::axes_by_section(std::array<Index, 3>{16, 24, 24});
    const coca::MultiRope rope(base, axes, {positions.data(), {3, 1, tokens}});
    std::vector<double> one(128, 0.0), turned(128);
    std::fill_n(one.begin(), 64, 1.0);
    double worst = 0.0;
    for (Index n = 0; n < tokens; ++n) {
      rope.map_pairs(rope.place(n, 0), one.data(), turned.data(), coca::turn_pair<double>);
      for (Index j = 0; j < 64; ++j) {
        worst = std::max(worst, std::fabs(turned[static_cast<std::size_t>(j)] - at(cosines, n, j)));
        worst =
            std::max(worst, std::fabs(turned[static_cast<std::size_t>(64 + j)] - at(sines, n, j)));
      }
    }
    // Their angles, of up to 18 radians, and the frequencies they are made of, are in float.
    CHECK(worst <= 18.0 * 4.0 * 0x1p-24);
  }
}

TEST_CASE("CLEX integrates its equation", "[golden]") {
  const test::Npy up = test::read_npy(folder + "/clex.up.npy");
  const test::Npy down = test::read_npy(folder + "/clex.down.npy");
  const test::Npy expected = test::read_npy(folder + "/clex.frequencies.npy");
  const coca::RopeBase rope{.rotary_dim = 32};
  const auto worst_of = [&](double step) {
    const coca::Clex clex{
        .up = up.values, .down = down.values, .trained_length = 100, .step = step};
    double worst = 0.0;
    for (Index row = 0; row < expected.shape[0]; ++row) {
      const double t = at(expected, row, 0);
      const std::vector<double> theta = clex.at_time(rope, t);
      for (Index j = 0; j < 16; ++j) {
        const double exact = at(expected, row, 1 + j);
        worst = std::max(worst, std::fabs(theta[static_cast<std::size_t>(j)] / exact - 1.0));
      }
      // The least whole t that covers the length.
      const auto covered = static_cast<Index>(100.0 * t);
      CHECK(clex(coca::RopeBase{.rotary_dim = 32, .length = covered}).inv_freq == theta);
      CHECK(clex(coca::RopeBase{.rotary_dim = 32, .length = covered - 99}).inv_freq == theta);
    }
    return worst;
  };
  // Of order four: a tenth of the step is off by a ten thousandth.
  const double coarse = worst_of(0.1);
  const double fine = worst_of(0.01);
  INFO("off by " << coarse << " and " << fine);
  CHECK(coarse <= 1e-3);
  CHECK(fine <= 2e-4 * coarse + 1e-11);
  CHECK(fine > 0.0);
}
