#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "golden/golden_cases.hpp"
#include "support/gradient_bounds.hpp"

/// The gradients against PyTorch's autograd: the files of make_gradients_golden.py.
namespace {

using namespace test;
using coca::AttentionOptions;

/// Gradients in T of one case whose operands make_golden.py wrote.
template <class T, class S, class M>
void compare_in(const std::string& name, const S& scheme, const M& mask, AttentionOptions options,
                bool coca, bool biased) {
  INFO(name);
  const GoldenCase operands{.folder = COCA_GOLDEN_DIR, .name = name};
  const GoldenCase gradients{.folder = COCA_GRADIENTS_GOLDEN_DIR, .name = name};
  const auto q = operands.tensor<T>("q");
  const auto k = operands.tensor<T>("k");
  const auto v = operands.tensor<T>("v");
  const auto dout = gradients.tensor<T>("dout");
  const auto [batch, queries, heads, dim] = q.view().shape;
  const Index keys = k.view().shape[1];
  Tensor<T> out(dout.view().shape), dq(q.view().shape), dk(k.view().shape), dv(v.view().shape);
  std::vector<T> lse(static_cast<std::size_t>(batch * heads * queries));
  const coca::View<T, 3> lse_view(lse.data(), {batch, heads, queries});
  options.lse = lse_view;
  coca::attention(out.view(), q.view(), k.view(), v.view(), scheme, mask, options);

  const bool sunk{options.sinks};
  std::vector<T> dsinks(static_cast<std::size_t>(heads));
  std::vector<T> dbias(static_cast<std::size_t>(heads * queries * keys));
  coca::MoreGradients more;
  if (sunk) more.sinks = coca::View<T, 1>(dsinks.data(), {heads});
  if (biased) more.bias = coca::View<T, 4>(dbias.data(), {1, heads, queries, keys});
  coca::attention_backward(dq.view(), dk.view(), dv.view(), dout.view(), q.view(), k.view(),
                           v.view(), out.view(), lse_view, scheme, mask, options, more);

  const double scale = 1.0 / std::sqrt(static_cast<double>(dim));
  const double magnitude = scale * (coca ? coca_magnitude(longest_row(q), largest(k))
                                         : linear_magnitude(longest_row(q), longest_row(k)));
  const double added = 12.0 + options.soft_cap;  // biases of the files are below 12
  const Bounds result = attention_bounds<T, T>(magnitude, added, largest(v), dim, keys);
  const double bend = options.soft_cap > 0.0 ? 1.0 / options.soft_cap : 0.0;
  Slopes by = slopes(coca, largest(q), largest(k));
  by.by_query *= scale;
  by.by_key *= scale;
  const Index rows = queries * heads / k.view().shape[2];
  const GradientBounds bounds = gradient_bounds<T>(
      magnitude, added, bend, longest_row(dout) * longest_row(v), longest_row(dout), by,
      static_cast<double>(rows), dim, v.view().shape[3], rows, keys, result);
  CHECK(largest_difference(dq, gradients.tensor<double>("dq")) <= bounds.dq);
  CHECK(largest_difference(dk, gradients.tensor<double>("dk")) <= bounds.dk);
  CHECK(largest_difference(dv, gradients.tensor<double>("dv")) <= bounds.dv);
  const auto apart = [](const std::vector<T>& x, const Npy& file) {
    REQUIRE(x.size() == file.values.size());
    double most = 0.0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      most = worse(most, static_cast<double>(x[i]), file.values[i]);
    }
    return most;
  };
  const auto adds = static_cast<double>(batch);
  if (sunk) CHECK(apart(dsinks, gradients.file("dsinks")) <= adds * bounds.dsinks);
  if (biased) CHECK(apart(dbias, gradients.file("dbias")) <= adds * bounds.dbias);
}

template <class S, class M>
void compare_gradients(const std::string& name, const S& scheme, const M& mask,
                       const AttentionOptions& options = {}, bool coca = false,
                       bool biased = false) {
  compare_in<double>(name, scheme, mask, options, coca, biased);
  compare_in<float>(name, scheme, mask, options, coca, biased);
}

}  // namespace

TEST_CASE("gradients are those of PyTorch's autograd", "[golden]") {
  const coca::Causal causal;
  compare_gradients("sdpa_causal", coca::Dot{}, causal);
  const auto bias =
      GoldenCase{.folder = COCA_GOLDEN_DIR, .name = "sdpa_bias"}.tensor<double>("bias");
  compare_gradients("sdpa_bias", coca::Dot{}, coca::AdditiveBias(bias.view()), {}, false, true);
  const Npy sinks = GoldenCase{.folder = COCA_GOLDEN_DIR, .name = "cap_and_sinks"}.file("sinks");
  compare_gradients(
      "cap_and_sinks", coca::Dot{}, causal,
      {.soft_cap = 1.5, .sinks = coca::View<const double, 1>(sinks.values.data(), {4})});

  // One kernel for all others.
  using Any =
      coca::OneOf<coca::Rotary<>, coca::CocaStrict<coca::RawProjection>,
                  coca::CocaSlack<coca::RawProjection>, coca::CocaConstrained<coca::RawProjection>>;
  const coca::RawProjection x;
  const coca::Rope paper({.dim = 16, .layout = coca::RopeLayout::interleaved});
  compare_gradients("rope_partial", Any(coca::Rotary{coca::Rope({.dim = 16, .rotary_dim = 8})}),
                    causal);
  compare_gradients("coca_constrained", Any(coca::CocaConstrained{coca::Rope({.dim = 16}), x}),
                    causal, {}, true);
  compare_gradients("coca_strict_interleaved", Any(coca::CocaStrict{paper, x}), causal, {}, true);
  compare_gradients("coca_slack_interleaved", Any(coca::CocaSlack{paper, x}), causal, {}, true);
}
