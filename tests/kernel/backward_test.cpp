#include "coca/kernel/backward.hpp"

#include <cmath>
#include <limits>

#include "kernel/backward_cases.hpp"
#include "support/catch.hpp"

TEST_CASE("the gradients are the reference's: float", "[kernel]") {
  test::compare_random_gradients<float>(5000, 15);
}
TEST_CASE("the gradients are the reference's: bfloat16", "[kernel]") {
  test::compare_random_gradients<Eigen::bfloat16>(5100, 6);
}
TEST_CASE("the gradients are the reference's: half", "[kernel]") {
  test::compare_random_gradients<Eigen::half>(5200, 6);
}
TEST_CASE("the gradients are the reference's: double", "[kernel]") {
  test::compare_random_gradients<double>(5300, 10);
}

namespace {

using namespace test;

/// A logit whose derivatives are at most 1.
struct Sine {
  template <class T>
  T operator()(T score, const coca::Site&) const {
    return std::sin(score);
  }
  template <class T>
  T derivative(T score, const coca::Site&) const {
    return std::cos(score);
  }
};
/// The same by definition, where the scale is 1.
struct SineScore {
  double operator()(reference::Row q, Position, reference::Row k, Position) const {
    return std::sin(reference::dot(q, k));
  }
  reference::ScoreGradient gradient(reference::Row q, Position, reference::Row k, Position) const {
    const double slope = std::cos(reference::dot(q, k));
    reference::ScoreGradient by{{k.begin(), k.end()}, {q.begin(), q.end()}};
    for (double& x : by.q) x *= slope;
    for (double& x : by.k) x *= slope;
    return by;
  }
};

}  // namespace

TEST_CASE("gradients behind logits, biases and slopes", "[kernel]") {
  for (std::uint64_t seed = 5400; seed < 5400 + share_of(30U); ++seed) {
    Random random(seed);
    const Sizes sizes = random_sizes(random);
    AttentionOptions options = random_positions(random);
    options.scale = 1.0;
    INFO("seed " << seed << ", " << text_of(sizes));
    Tensor<float> bias({1, sizes.key_heads * sizes.group, sizes.queries, sizes.keys});
    bias.fill([&] {
      return random.integer(0, 5) == 0 ? -std::numeric_limits<double>::infinity()
                                       : random.uniform();
    });
    std::vector<double> slopes(static_cast<std::size_t>(sizes.key_heads * sizes.group));
    for (double& slope : slopes) slope = 0.01 * random.uniform();
    const auto mask = random_mask(random) & (coca::Alibi(slopes) & coca::AdditiveBias(bias.view()));
    // Distances are below 250.
    compare_gradients<float>(
        Form{"sine", coca::WithLogits(coca::Dot{}, Sine{}), SineScore{}, false, false}, sizes, mask,
        options, 1.0 + 0.01 * 250.0, 1.0, random);
  }
}
