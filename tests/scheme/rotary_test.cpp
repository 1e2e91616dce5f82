#include "coca/scheme/rotary.hpp"

#include <cmath>

#include "coca/scheme/dot.hpp"
#include "support/catch.hpp"
#include "support/forms.hpp"
#include "support/random.hpp"

using namespace test;

TEST_CASE("rotary scores depend on the distance only", "[scheme]") {
  Random random(11);
  const coca::Rope rope({.dim = 32});
  std::vector<double> q(32), k(32);
  for (double& x : q) x = random.uniform();
  for (double& x : k) x = random.uniform();
  for (int i = 0; i < 50; ++i) {
    const coca::Position m = random.integer(0, 4000);
    const coca::Position n = random.integer(0, 4000);
    const double here = score<double>(coca::Rotary{rope}, q, m, k, n);
    CHECK(std::fabs(score<double>(coca::Rotary{rope}, q, m + 1000003, k, n + 1000003) - here) <=
          1e-13);
    CHECK(std::fabs(reference::RotaryScore{rope}(q, m, k, n) - here) <= 1e-13);
  }
}

TEST_CASE("at equal positions, and without turning coordinates, rotary is dot", "[scheme]") {
  Random random(12);
  const coca::Rope rope({.dim = 16});
  const coca::Rope still({.dim = 16, .inv_freq = std::vector<double>(8, 0.0)});
  std::vector<double> q(16), k(16);
  for (double& x : q) x = random.uniform();
  for (double& x : k) x = random.uniform();
  const double plain = score<double>(coca::Dot{}, q, 5, k, 3);
  CHECK(score<double>(coca::Rotary{rope}, q, 123, k, 123) == Approx(plain));
  CHECK(score<double>(coca::Rotary{still}, q, 5, k, 300) == plain);
}
