#include "coca/scheme/one_of.hpp"

#include "support/catch.hpp"
#include "support/forms.hpp"
#include "support/random.hpp"

using namespace test;

TEST_CASE("a scheme chosen at run time does what it does by itself", "[scheme]") {
  Random random(31);
  const coca::Rope rope({.dim = 12});
  for_each_form(rope, [&](const auto& form) {
    if constexpr (std::is_constructible_v<AnyScheme, decltype(form.scheme)>) {
      INFO(form.name);
      const AnyScheme any(form.scheme);
      CHECK(any.key_dim(12) == form.scheme.key_dim(12));
      CHECK(any.score_dim(12) == form.scheme.score_dim(12));
      CHECK_THROWS_AS(any.check({.query_dim = 10}), std::invalid_argument);
      std::vector<double> q(12), k(static_cast<std::size_t>(form.scheme.key_dim(12)));
      for (double& x : q) x = random.uniform();
      for (double& x : k) x = random.uniform();
      k[0] = -1.0;
      CHECK(score<double>(any, q, 7, k, 5) == score<double>(form.scheme, q, 7, k, 5));
      CHECK((any.key_defect(std::span<const double>(k)) != nullptr) == form.half_width);
    }
  });
}
