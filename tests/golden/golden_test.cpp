#include <string>

#include "golden/golden_cases.hpp"

/// The kernels against PyTorch: the files of make_golden.py.
namespace {

using namespace test;
using coca::AttentionOptions;

GoldenCase golden(const std::string& name, bool coca = false) {
  return {.folder = COCA_GOLDEN_DIR, .name = name, .coca = coca};
}

template <class S, class M = coca::Full>
void compare(const std::string& name, const S& scheme, const M& mask = {},
             const AttentionOptions& options = {}, bool coca = false) {
  golden(name, coca).compare(scheme, mask, options);
}

}  // namespace

TEST_CASE("PyTorch's scaled_dot_product_attention", "[golden]") {
  compare("sdpa_full", coca::Dot{});
  compare("sdpa_causal", coca::Dot{}, coca::Causal{});
  compare("sdpa_scale", coca::Dot{}, coca::Full{}, {.scale = 0.7});
  compare("sdpa_grouped_wide_values", coca::Dot{});
  compare("sdpa_causal_bottom_right", coca::Dot{}, coca::Causal{});

  for (const std::string name : {"sdpa_boolean", "sdpa_hidden_rows"}) {
    const Npy mask = golden(name).file("mask");
    Eigen::Tensor<bool, 4, Eigen::RowMajor> allowed(mask.shape[0], mask.shape[1], mask.shape[2],
                                                    mask.shape[3]);
    for (std::size_t i = 0; i < mask.values.size(); ++i) allowed.data()[i] = mask.values[i] != 0.0;
    compare(name, coca::Dot{}, coca::BooleanMask(allowed));
  }

  const auto bias = golden("sdpa_bias").tensor<double>("bias");
  compare("sdpa_bias", coca::Dot{}, coca::AdditiveBias(bias.view()));
}

TEST_CASE("RoPE by complex numbers", "[golden]") {
  using coca::Rope;
  const coca::Causal causal;
  compare("rope_half_split", coca::Rotary{Rope({.dim = 16})}, causal);
  compare("rope_interleaved",
          coca::Rotary{Rope({.dim = 16, .layout = coca::RopeLayout::interleaved})}, causal);
  compare("rope_partial", coca::Rotary{Rope({.dim = 16, .rotary_dim = 8})}, causal);
  compare("rope_far", coca::Rotary{Rope({.dim = 16})}, causal, {.first_key = 1'000'000});
}

TEST_CASE("soft-cap before the mask, sinks beside it", "[golden]") {
  const Npy sinks = golden("cap_and_sinks").file("sinks");
  compare("cap_and_sinks", coca::Dot{}, coca::Causal{},
          {.soft_cap = 1.5, .sinks = coca::View<const double, 1>(sinks.values.data(), {4})});
}

TEST_CASE("CoCA by einsum over q, rotated t and rotated q", "[golden]") {
  const coca::Rope rope({.dim = 16});
  const coca::RawProjection x;
  const coca::Causal causal;
  compare("coca_strict", coca::CocaStrict{rope, x}, causal, {}, true);
  compare("coca_slack", coca::CocaSlack{rope, x}, causal, {}, true);
  compare("coca_constrained", coca::CocaConstrained{rope, x}, causal, {}, true);
  compare("coca_slack_long", coca::CocaSlack{rope, x}, causal, {}, true);
  compare("coca_slack_far", coca::CocaSlack{rope, x}, causal, {.first_key = 1'000'000}, true);

  const coca::Rope paper({.dim = 16, .layout = coca::RopeLayout::interleaved});
  compare("coca_strict_interleaved", coca::CocaStrict{paper, x}, causal, {}, true);
  compare("coca_slack_interleaved", coca::CocaSlack{paper, x}, causal, {}, true);
}
