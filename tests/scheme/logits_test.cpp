#include "coca/scheme/logits.hpp"

#include <cmath>

#include "coca/scheme/dot.hpp"
#include "support/catch.hpp"

namespace {

struct Doubled {
  template <class T>
  T operator()(T score, const coca::Site&) const {
    return score * 2;
  }
};

struct PlusDistance {
  template <class T>
  T operator()(T score, const coca::Site& site) const {
    return score + static_cast<T>(site.query() - site.key());
  }
};

}  // namespace

TEST_CASE("soft-cap keeps a score within the cap and a small one as it is", "[scheme]") {
  const coca::SoftCap cap{30.0};
  CHECK(cap(1e30F, {}) == 30.0F);
  CHECK(cap(-1e30, {}) == -30.0);
  CHECK(cap(1e-3F, {}) == Approx(1e-3F));
  CHECK(cap(20.0, {}) == Approx(30.0 * std::tanh(20.0 / 30.0)));
  CHECK(std::isnan(cap(NAN, {})));
}

TEST_CASE("transforms apply from the inside out and see where they are", "[scheme]") {
  const coca::WithLogits inner(coca::Dot{}, Doubled{});
  const coca::WithLogits both(inner, PlusDistance{});
  const coca::Site site{.query_index = 7, .key_index = 2, .query_offset = 10, .key_offset = 5};
  CHECK(inner.logit(3.0, site) == 6.0);
  CHECK(both.logit(3.0, site) == 6.0 + 10.0);
  STATIC_REQUIRE(coca::TransformsLogits<decltype(both), float>);
  STATIC_REQUIRE_FALSE(coca::TransformsLogits<coca::Dot, float>);
}
