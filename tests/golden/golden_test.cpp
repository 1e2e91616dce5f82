#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "coca/extern.hpp"
#include "support/bounds.hpp"
#include "support/catch.hpp"
#include "support/npy.hpp"
#include "support/random.hpp"

/// The kernels against PyTorch: the files of make_golden.py.
namespace {

using namespace test;
using coca::AttentionOptions;

Npy golden(const std::string& name, const std::string& tensor) {
  return read_npy(std::string(COCA_GOLDEN_DIR) + "/" + name + "." + tensor + ".npy");
}

template <class T>
Tensor<T> golden_tensor(const std::string& name, const std::string& tensor) {
  const Npy file = golden(name, tensor);
  REQUIRE(file.shape.size() == 4);
  Tensor<T> x({file.shape[0], file.shape[1], file.shape[2], file.shape[3]});
  std::size_t i = 0;
  x.fill([&] { return file.values[i++]; });
  return x;
}

/// Runs one case in T and compares out and lse. `coca` says how scores are bounded.
template <class T, class S, class M>
void compare_in(const std::string& name, const S& scheme, const M& mask, AttentionOptions options,
                bool coca) {
  INFO(name);
  const auto q = golden_tensor<T>(name, "q");
  const auto k = golden_tensor<T>(name, "k");
  const auto v = golden_tensor<T>(name, "v");
  const auto expected = golden_tensor<double>(name, "out");
  const Npy expected_lse = golden(name, "lse");
  Tensor<T> out(expected.view().shape);
  std::vector<T> lse(expected_lse.values.size());
  options.lse = coca::View<T, 3>(
      lse.data(), {expected_lse.shape[0], expected_lse.shape[1], expected_lse.shape[2]});
  coca::attention(out.view(), q.view(), k.view(), v.view(), scheme, mask, options);

  const Index dim = q.view().shape[3];
  const double scale = options.scale.value_or(1.0 / std::sqrt(static_cast<double>(dim)));
  const double magnitude = scale * (coca ? coca_magnitude(longest_row(q), largest(k))
                                         : linear_magnitude(longest_row(q), longest_row(k)));
  // Biases of the files are below 6.
  const Bounds bounds =
      attention_bounds<T, T>(magnitude, 6.0 + options.soft_cap, largest(v), dim, k.view().shape[1]);
  // The golden angles n theta are products in double. For n below 2^20 one is off by half an ulp,
  // 2^-34, and by n times the last bit of theta, 2^-54 where theta is not 1; a score has two of
  // them, the query's and the key's. The other files start at 0, where this drowns in the bounds.
  const double angles = options.first_key == 0 ? 0.0 : 0x1p-32 * magnitude;
  // Weights are off by at most twice what scores are.
  CHECK(largest_difference(out, expected) <= bounds.out + 2.0 * angles * largest(v));
  double lse_difference = 0.0;
  for (std::size_t i = 0; i < lse.size(); ++i) {
    lse_difference = worse(lse_difference, static_cast<double>(lse[i]), expected_lse.values[i]);
  }
  CHECK(lse_difference <= bounds.lse + angles);
}

template <class S, class M = coca::Full>
void compare(const std::string& name, const S& scheme, const M& mask = {},
             const AttentionOptions& options = {}, bool coca = false) {
  compare_in<double>(name, scheme, mask, options, coca);
  compare_in<float>(name, scheme, mask, options, coca);
}

}  // namespace

TEST_CASE("PyTorch's scaled_dot_product_attention", "[golden]") {
  compare("sdpa_full", coca::Dot{});
  compare("sdpa_causal", coca::Dot{}, coca::Causal{});
  compare("sdpa_scale", coca::Dot{}, coca::Full{}, {.scale = 0.7});
  compare("sdpa_grouped_wide_values", coca::Dot{});
  compare("sdpa_causal_bottom_right", coca::Dot{}, coca::Causal{});

  for (const std::string name : {"sdpa_boolean", "sdpa_hidden_rows"}) {
    const Npy mask = golden(name, "mask");
    Eigen::Tensor<bool, 4, Eigen::RowMajor> allowed(mask.shape[0], mask.shape[1], mask.shape[2],
                                                    mask.shape[3]);
    for (std::size_t i = 0; i < mask.values.size(); ++i) allowed.data()[i] = mask.values[i] != 0.0;
    compare(name, coca::Dot{}, coca::BooleanMask(allowed));
  }

  const auto bias = golden_tensor<double>("sdpa_bias", "bias");
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
  const Npy sinks = golden("cap_and_sinks", "sinks");
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
