#include "coca/core/elementary.hpp"

#include <bit>
#include <cmath>
#include <limits>

#include "support/catch.hpp"

namespace {

using coca::detail::exp_nonpositive;

/// |value - exact| in units of the last place of exact.
template <class T>
double ulps(T value, long double exact) {
  const T nearest = static_cast<T>(exact);
  const T up = std::nextafter(nearest, std::numeric_limits<T>::infinity());
  return static_cast<double>(std::fabs((static_cast<long double>(value) - exact) /
                                       static_cast<long double>(up - nearest)));
}

}  // namespace

TEST_CASE("exp is within 2 ulp over its whole range", "[core]") {
  // Floats from -0 to where exp is no longer a normal number, one in 64.
  double worst = 0.0;
  for (std::uint32_t bits = 0x80000000U; bits < 0xC2AEAC50U; bits += 64) {
    const auto x = std::bit_cast<float>(bits);
    worst = std::max(worst, ulps(exp_nonpositive(x), std::exp(static_cast<double>(x))));
  }
  CHECK(worst <= 2.0);

  double worst_double = 0.0;
  for (int i = 0; i < 200000; ++i) {
    const double x = -708.0 * i / 200000.0;
    worst_double =
        std::max(worst_double, ulps(exp_nonpositive(x), std::exp(static_cast<long double>(x))));
  }
  CHECK(worst_double <= 2.0);
}

TEMPLATE_TEST_CASE("exp keeps the special values", "[core]", float, double) {
  using Limits = std::numeric_limits<TestType>;
  CHECK(exp_nonpositive(TestType(0)) == TestType(1));
  CHECK(exp_nonpositive(-TestType(0)) == TestType(1));
  CHECK(exp_nonpositive(-Limits::infinity()) == TestType(0));
  CHECK(exp_nonpositive(-Limits::max()) == TestType(0));
  CHECK(exp_nonpositive(TestType(-2000)) == TestType(0));
  CHECK(std::isnan(exp_nonpositive(Limits::quiet_NaN())));
  CHECK(exp_nonpositive(-Limits::denorm_min()) == TestType(1));
}

TEST_CASE("tanh is within 2 ulp", "[core]") {
  double worst = 0.0;
  bool odd = true;
  for (std::uint32_t bits = 0x00800000U; bits < 0x42F00000U; bits += 512) {
    const auto x = std::bit_cast<float>(bits);
    worst =
        std::max(worst, ulps(coca::detail::tanh_branchless(x), std::tanh(static_cast<double>(x))));
    odd = odd && coca::detail::tanh_branchless(-x) == -coca::detail::tanh_branchless(x);
  }
  CHECK(worst <= 2.0);
  CHECK(odd);
}
