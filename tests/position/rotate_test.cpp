#include "coca/position/rotate.hpp"

#include <algorithm>
#include <cmath>

#include "coca/reference/score.hpp"
#include "support/bounds.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"

namespace {

using namespace test;

template <class T>
void rotates_like_the_reference(std::uint64_t seed) {
  Random random(seed);
  for (const auto layout : {coca::RopeLayout::half_split, coca::RopeLayout::interleaved}) {
    const coca::Rope rope({.dim = 20, .rotary_dim = 12, .layout = layout});
    Tensor<T> x({2, 5, 3, 20}, random), out({2, 5, 3, 20}, random);
    x.fill([&] { return random.uniform(); });
    const coca::TokenPositions positions{.first = 9'999'998};
    coca::rotate(out.view(), x.view(), rope, positions);
    Tensor<double> wide = widened(x), expected({2, 5, 3, 20});
    for (Index b = 0; b < 2; ++b)
      for (Index n = 0; n < 5; ++n)
        for (Index h = 0; h < 3; ++h) {
          const std::span<const double> row(&wide.view()(b, n, h, 0), 20);
          const auto turned = coca::reference::rotated(row, 9'999'998 + n, rope);
          for (Index i = 0; i < 20; ++i)
            expected.view()(b, n, h, i) = turned[static_cast<std::size_t>(i)];
        }
    // Members of a pair are below 1, and so the result below sqrt(2), rounded to T once; before
    // that the angles' cos and sin, two products and a sum, each half an ulp: 2 ulp in all. The
    // reference's own angle is rounded to the 64 bits of a long double.
    const double bound = 4.0 * kUnit<T> + storage_unit<T>() + 1e7 * 0x1p-64;
    CHECK(largest_difference(out, expected) <= std::sqrt(2.0) * bound);
    coca::rotate(x.view(), rope, positions);
    CHECK(largest_difference(x, widened(out)) == 0.0);
  }
}

}  // namespace

TEST_CASE("rotating a tensor, also at position 10,000,000", "[position]") {
  rotates_like_the_reference<float>(31);
  rotates_like_the_reference<double>(32);
  rotates_like_the_reference<Eigen::bfloat16>(33);
  rotates_like_the_reference<Eigen::half>(34);
}

TEST_CASE("rotating a tensor on several threads, of any strides", "[position]") {
  const coca::Rope rope({.dim = 40});
  Random random(35);
  Tensor<float> x({2, 150, 3, 40}, random);
  x.fill([&] { return random.uniform(); });
  Eigen::Tensor<float, 4, Eigen::RowMajor> one(2, 150, 3, 40), many(2, 150, 3, 40);
  coca::rotate(one, x.view(), rope);
  Eigen::ThreadPool pool(3);
  coca::rotate(many, x.view(), rope, {}, Eigen::ThreadPoolDevice(&pool, 3));
  CHECK(std::equal(one.data(), one.data() + one.size(), many.data()));
  // Elements apart from each other, in place.
  Eigen::Tensor<float, 4, Eigen::ColMajor> apart(2, 150, 3, 40);
  for (Index b = 0; b < 2; ++b)
    for (Index n = 0; n < 150; ++n)
      for (Index h = 0; h < 3; ++h)
        for (Index i = 0; i < 40; ++i) apart(b, n, h, i) = x.view()(b, n, h, i);
  coca::rotate(apart, rope);
  for (Index b = 0; b < 2; ++b)
    for (Index n = 0; n < 150; ++n)
      for (Index h = 0; h < 3; ++h)
        for (Index i = 0; i < 40; ++i) REQUIRE(apart(b, n, h, i) == one(b, n, h, i));
}

TEST_CASE("rotation by position ids", "[position]") {
  const coca::Rope rope({.dim = 2, .inv_freq = {1.0}});
  Eigen::Tensor<double, 4, Eigen::RowMajor> x(2, 2, 1, 2), out(2, 2, 1, 2);
  x.setZero();
  for (int b = 0; b < 2; ++b) x(b, 0, 0, 0) = x(b, 1, 0, 0) = 1.0;
  const std::vector<coca::Position> ids{7, -2};
  coca::rotate(out, x, rope, {.ids = {ids.data(), {1, 2}}});
  CHECK(out(1, 0, 0, 0) == Approx(std::cos(7.0)));
  CHECK(out(1, 0, 0, 1) == Approx(std::sin(7.0)));
  CHECK(out(0, 1, 0, 1) == Approx(std::sin(-2.0)));
}

TEST_CASE("rotate says what does not fit", "[position]") {
  const coca::Rope rope({.dim = 4});
  Eigen::MatrixXf x(3, 4), narrow(3, 2);
  const std::vector<coca::Position> ids{1, 2};
  CHECK_THROWS_WITH(coca::rotate(narrow, x, rope),
                    "coca: out is of shape [1, 3, 1, 2], expected that of x, [1, 3, 1, 4]");
  CHECK_THROWS_WITH(coca::rotate(narrow, rope),
                    "coca: x.shape[3] (head_dim) is 2, expected 4 (rope.dim)");
  CHECK_THROWS_WITH(coca::rotate(x, rope, {.ids = {ids.data(), {1, 2}}}),
                    "coca: positions.ids is of shape [1, 2], expected [1 or 1, 3]");
}
