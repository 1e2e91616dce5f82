#include "coca/kernel/merge.hpp"

#include <cmath>

#include "coca/coca.hpp"
#include "support/bounds.hpp"
#include "support/catch.hpp"
#include "support/forms.hpp"
#include "support/random.hpp"

namespace {

using namespace test;

template <class T>
coca::View<const T, 4> slice(const coca::TensorView<const T>& x, Index begin, Index end) {
  auto part = x;
  part.data = &x(0, begin, 0, 0);
  part.shape[1] = end - begin;
  return part;
}

constexpr double kInfinity = std::numeric_limits<double>::infinity();

}  // namespace

TEST_CASE("attention over parts of the keys merges to the whole", "[kernel]") {
  Random random(51);
  const coca::Rope rope({.dim = 16});
  for_each_any_form(rope, [&](const auto& form) {
    INFO(form.name);
    Tensor<double> q({2, 30, 4, 16}), k({2, 150, 2, form.half_width ? 8 : 16}), v({2, 150, 2, 12});
    q.fill([&] { return random.uniform(); });
    k.fill([&] { return std::fabs(random.uniform()); });
    v.fill([&] { return random.uniform(); });
    Tensor<double> whole({2, 30, 4, 12}), part({2, 30, 4, 12}), merged({2, 30, 4, 12});
    Eigen::Tensor<double, 3, Eigen::RowMajor> whole_lse(2, 4, 30), part_lse(2, 4, 30),
        merged_lse(2, 4, 30);
    const std::vector<double> sink_values{0.5, -1.0, 2.0, 0.0};
    const coca::View<const double, 1> sinks(sink_values.data(), {4});

    coca::AttentionOptions options{
        .first_query = 120, .sinks = sinks, .lse = coca::view(whole_lse)};
    const coca::Causal mask;
    coca::attention(whole.view(), q.view(), k.view(), v.view(), form.scheme, mask, options);

    // Three parts, the last of which most queries do not see; the sink goes with the first.
    const std::array<Index, 4> cuts{0, 70, 140, 150};
    for (std::size_t i = 0; i + 1 < cuts.size(); ++i) {
      options.first_key = cuts[i];
      options.lse = coca::view(i == 0 ? merged_lse : part_lse);
      if (i > 0) options.sinks = {};
      const auto out = i == 0 ? merged.view() : part.view();
      coca::attention(out, q.view(), slice<double>(k.view(), cuts[i], cuts[i + 1]),
                      slice<double>(v.view(), cuts[i], cuts[i + 1]), form.scheme, mask, options);
      if (i > 0) coca::merge(merged.view(), merged_lse, part.view(), part_lse);
    }
    CHECK(largest_difference(merged, whole) <= 1e-13);
    const Eigen::Tensor<double, 0, Eigen::RowMajor> lse_error =
        (merged_lse - whole_lse).abs().maximum();
    CHECK(lse_error() <= 1e-13);
  });
}

TEST_CASE("merging with nothing changes nothing", "[kernel]") {
  Eigen::Matrix<float, 1, 2> a{1.5F, -2.0F}, b{7.0F, 8.0F};
  Eigen::Tensor<float, 3> lse_a(1, 1, 1), lse_b(1, 1, 1);
  lse_a(0, 0, 0) = 0.25F;
  lse_b(0, 0, 0) = static_cast<float>(-kInfinity);
  coca::merge(a, lse_a, b, lse_b);
  CHECK(a(0) == 1.5F);
  CHECK(lse_a(0, 0, 0) == 0.25F);

  coca::merge(b, lse_b, a, lse_a);
  CHECK(b(0) == 1.5F);
  CHECK(b(1) == -2.0F);
  CHECK(lse_b(0, 0, 0) == 0.25F);

  a.setZero();
  b.setZero();
  lse_a(0, 0, 0) = lse_b(0, 0, 0) = static_cast<float>(-kInfinity);
  coca::merge(a, lse_a, b, lse_b);
  CHECK(a(0) == 0.0F);
  CHECK(lse_a(0, 0, 0) == static_cast<float>(-kInfinity));
}

TEST_CASE("merge weighs by exp(lse), in narrow types too", "[kernel]") {
  Eigen::Matrix<Eigen::bfloat16, 1, 1> a{Eigen::bfloat16(1.0F)}, b{Eigen::bfloat16(4.0F)};
  Eigen::Tensor<float, 3> lse_a(1, 1, 1), lse_b(1, 1, 1);
  lse_a(0, 0, 0) = 1000.0F;  // exp would overflow
  lse_b(0, 0, 0) = 1000.0F + std::log(2.0F);
  coca::merge(a, lse_a, b, lse_b);
  CHECK(static_cast<float>(a(0)) == Approx(3.0F));
  CHECK(lse_a(0, 0, 0) == Approx(1000.0F + std::log(3.0F)));
}

TEST_CASE("merge says what does not fit", "[kernel]") {
  Eigen::MatrixXf a(2, 3), b(2, 4), c(2, 3);
  Eigen::Tensor<float, 3> lse(1, 1, 2), wrong(1, 2, 1);
  CHECK_THROWS_WITH(coca::merge(a, lse, b, lse),
                    "coca: out_b is of shape [1, 2, 1, 4], expected that of out_a, [1, 2, 1, 3]");
  CHECK_THROWS_WITH(
      coca::merge(a, lse, c, wrong),
      "coca: lse_b is of shape [1, 2, 1], expected [batch, heads, sequence] = [1, 1, 2]");
}
