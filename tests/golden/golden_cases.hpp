#pragma once

#include <cmath>
#include <string>
#include <vector>

#include "coca/coca.hpp"
#include "support/bounds.hpp"
#include "support/catch.hpp"
#include "support/npy.hpp"
#include "support/random.hpp"

/// The kernels beside attention that somebody else computed in float64.
namespace test {

/// The files of one case: "<folder>/<name>.<tensor>.npy".
struct GoldenCase {
  std::string folder;
  std::string name;
  std::string operands = {};  ///< whose q, k and v it has, if not its own
  bool coca = false;          ///< how scores are bounded
  double rounding = 0.0;      ///< of its output, beside the rounding to float64

  Npy file(const std::string& tensor) const {
    const bool operand = tensor.size() == 1;
    const std::string& owner = operand && !operands.empty() ? operands : name;
    return read_npy(folder + "/" + owner + "." + tensor + ".npy");
  }
  template <class T>
  Tensor<T> tensor(const std::string& which) const {
    const Npy numbers = file(which);
    REQUIRE(numbers.shape.size() == 4);
    Tensor<T> x({numbers.shape[0], numbers.shape[1], numbers.shape[2], numbers.shape[3]});
    std::size_t i = 0;
    x.fill([&] { return numbers.values[i++]; });
    return x;
  }

  /// Runs it in T and compares out and lse.
  template <class T, class S, class M>
  void compare_in(const S& scheme, const M& mask, coca::AttentionOptions options) const {
    INFO(name);
    const auto q = tensor<T>("q");
    const auto k = tensor<T>("k");
    const auto v = tensor<T>("v");
    const auto expected = tensor<double>("out");
    const Npy expected_lse = file("lse");
    Tensor<T> out(expected.view().shape);
    std::vector<T> lse(expected_lse.values.size());
    options.lse = coca::View<T, 3>(
        lse.data(), {expected_lse.shape[0], expected_lse.shape[1], expected_lse.shape[2]});
    coca::attention(out.view(), q.view(), k.view(), v.view(), scheme, mask, options);

    const Index dim = q.view().shape[3];
    const double scale = options.scale.value_or(1.0 / std::sqrt(static_cast<double>(dim)));
    const double magnitude = scale * (coca ? coca_magnitude(longest_row(q), largest(k))
                                           : linear_magnitude(longest_row(q), longest_row(k)));
    // Biases of the files are below 12.
    const Bounds bounds = attention_bounds<T, T>(magnitude, 12.0 + options.soft_cap, largest(v),
                                                 dim, k.view().shape[1]);
    // The golden angles n theta are products in double. For n below 2^20 one is off by half an ulp,
    // 2^-34, and by n times the last bit of theta, 2^-54 where theta is not 1; a score has two of
    // them, the query's and the key's. The other files start at 0, where this drowns in the bounds.
    const double angles = options.first_key == 0 ? 0.0 : 0x1p-32 * magnitude;
    // Weights are off by at most twice what scores are.
    CHECK(largest_difference(out, expected) <=
          bounds.out + 2.0 * angles * largest(v) + rounding * largest(v));
    double lse_difference = 0.0;
    for (std::size_t i = 0; i < lse.size(); ++i) {
      lse_difference = worse(lse_difference, static_cast<double>(lse[i]), expected_lse.values[i]);
    }
    CHECK(lse_difference <= bounds.lse + angles);
  }

  template <class S, class M = coca::Full>
  void compare(const S& scheme, const M& mask = {},
               const coca::AttentionOptions& options = {}) const {
    compare_in<double>(scheme, mask, options);
    compare_in<float>(scheme, mask, options);
  }
};

}  // namespace test
