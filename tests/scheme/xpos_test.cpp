#include "coca/scheme/xpos.hpp"

#include <cmath>

#include "coca/coca.hpp"
#include "coca/scheme/coca.hpp"
#include "coca/scheme/rotary.hpp"
#include "support/catch.hpp"
#include "support/forms.hpp"
#include "support/random.hpp"

namespace {

using namespace test;

/// The score pair by pair, each times its decay, from the base scheme with all other pairs at 0.
template <class Base>
double decayed(const Base& base, std::vector<double> q, Index m, const std::vector<double>& key,
               Index n) {
  const coca::Rope& rope = base.rope();
  double sum = 0.0;
  for (Index j = 0; j < rope.dim() / 2; ++j) {
    std::vector<double> alone(q.size(), 0.0);
    const auto [first, second] = rope.pair(j);
    for (const Index i : {first, second}) {
      alone[static_cast<std::size_t>(i)] = q[static_cast<std::size_t>(i)];
    }
    const double zeta =
        (2.0 * static_cast<double>(j) / static_cast<double>(rope.rotary_dim()) + 0.4) / 1.4;
    const double decay =
        j < rope.rotary_dim() / 2 ? std::pow(zeta, static_cast<double>(m - n) / 512.0) : 1.0;
    sum += decay * score<double>(base, alone, m, key, n);
  }
  return sum;
}

}  // namespace

TEST_CASE("xPos: every pair of a score decays with the distance, in all schemes", "[scheme]") {
  Random random(17);
  for (const coca::Rope& rope :
       {coca::Rope({.dim = 16}), coca::Rope({.dim = 16, .rotary_dim = 12}),
        coca::Rope({.dim = 16, .layout = coca::RopeLayout::interleaved})}) {
    std::vector<double> q(16), k(16), t(8);
    for (double& x : q) x = random.uniform();
    for (double& x : k) x = random.uniform();
    for (double& x : t) x = std::fabs(random.uniform());
    const auto check = [&](const auto& base, const auto& key) {
      for (const auto& [m, n] : {std::pair<Index, Index>{5, 5}, {900, 17}, {3000, 2999}}) {
        const double expected = decayed(base, q, m, key, n);
        CHECK(score<double>(coca::XPos{base}, q, m, key, n) == Approx(expected).epsilon(1e-11));
        const coca::XPos elsewhere{base, {.centre = 1500}};
        CHECK(score<double>(elsewhere, q, m, key, n) == Approx(expected).epsilon(1e-11));
      }
    };
    check(coca::Rotary{rope}, k);
    check(coca::CocaStrict{rope}, t);
    check(coca::CocaSlack{rope}, t);
    check(coca::CocaConstrained{rope}, t);
  }
}

TEST_CASE("wrong numbers of xPos are named", "[scheme]") {
  const coca::Rotary base{coca::Rope({.dim = 4})};
  CHECK_THROWS_WITH((coca::XPos{base, {.scale_base = 0.0}}),
                    "coca: xpos.scale_base is 0.000000, expected positive and finite");
  CHECK_THROWS_WITH((coca::XPos{base, {.gamma = -1.0}}),
                    "coca: xpos.gamma is -1.000000, expected positive and finite");
}
