#include "coca/scheme/logits.hpp"

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

TEST_CASE("transforms apply from the inside out and see where they are", "[scheme]") {
  const coca::WithLogits inner(coca::Dot{}, Doubled{});
  const coca::WithLogits both(inner, PlusDistance{});
  const coca::Site site{.query_index = 7, .key_index = 2, .query_offset = 10, .key_offset = 5};
  CHECK(inner.logit(3.0, site) == 6.0);
  CHECK(both.logit(3.0, site) == 6.0 + 10.0);
  STATIC_REQUIRE(coca::TransformsLogits<decltype(both), float>);
  STATIC_REQUIRE_FALSE(coca::TransformsLogits<coca::Dot, float>);
}
