#include "coca/scheme/adjoint.hpp"

#include <cmath>
#include <vector>

#include "coca/coca.hpp"
#include "support/bounds.hpp"
#include "support/catch.hpp"
#include "support/forms.hpp"
#include "support/random.hpp"

/// Each adjoint by itself, against central differences of its map in double.
namespace {

using namespace test;
using coca::Token;
using Vector = std::vector<double>;

/// J^T g by differences of map(x, y), where x is as wide as `at`, and y as `g`.
template <class Map>
Vector by_differences(const Map& map, const Vector& at, const Vector& g) {
  constexpr double step = 0x1p-17;
  Vector result(at.size());
  for (std::size_t i = 0; i < at.size(); ++i) {
    Vector x = at;
    Vector up(g.size()), down(g.size());
    x[i] = at[i] + step;
    map(x, up);
    x[i] = at[i] - step;
    map(x, down);
    for (std::size_t j = 0; j < g.size(); ++j) result[i] += g[j] * (up[j] - down[j]) / (2 * step);
  }
  return result;
}

double apart(const Vector& a, const Vector& b) {
  double most = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) most = worse(most, a[i], b[i]);
  return most;
}

/// Maps are of second degree, of numbers below 1: differences of a step h are off by their rounding,
/// 2^-52 / h, for each of `width` outputs.
double bound(Index width) { return 0x1p-31 * static_cast<double>(width); }

template <class S>
void check(const S& scheme, Index dim, Random& random) {
  STATIC_REQUIRE(coca::Differentiable<S, double>);
  STATIC_REQUIRE(coca::Differentiable<S, float>);
  const Index width = scheme.score_dim(dim);
  const auto numbers = [&](Index count) {
    Vector x(static_cast<std::size_t>(count));
    for (double& value : x) value = random.uniform();
    return x;
  };
  const Vector q = numbers(dim), k = numbers(scheme.key_dim(dim)), g = numbers(width);
  const Token token{.position = random.integer(-300, 500), .batch = 0, .index = 3, .head = 1};
  const auto in = [](const Vector& x) { return std::span<const double>(x); };
  Vector d = g;
  if constexpr (!coca::KeepsQueries<S, double>) {
    Vector dq(q.size());
    scheme.map_query_adjoint(in(q), token, std::span(d), std::span(dq));
    const auto map = [&](const Vector& x, Vector& y) {
      scheme.map_query(in(x), token, std::span(y));
    };
    CHECK(apart(dq, by_differences(map, q, g)) <= bound(width));
    d = g;
  }
  if constexpr (!coca::KeepsKeys<S, double>) {
    Vector dk(k.size());
    scheme.map_key_adjoint(in(k), token, std::span(d), std::span(dk));
    const auto map = [&](const Vector& x, Vector& y) {
      scheme.map_key(in(x), token, std::span(y));
    };
    CHECK(apart(dk, by_differences(map, k, g)) <= bound(width));
  }
}

struct Square {
  template <class T>
  T operator()(T score, const coca::Site&) const {
    return score * score;
  }
  template <class T>
  T derivative(T score, const coca::Site&) const {
    return 2 * score;
  }
};
struct NoDerivative {
  template <class T>
  T operator()(T score, const coca::Site&) const {
    return score * score;
  }
};

struct NoAdjoint : coca::SchemeDefaults {
  template <coca::Real T>
  void map_query(std::span<const T> q, const Token&, std::span<T> phi) const {
    for (std::size_t i = 0; i < q.size(); ++i) phi[i] = 2 * q[i];
  }
};
struct WithAdjoint : NoAdjoint {
  template <coca::Real T>
  void map_query(std::span<const T> q, const Token&, std::span<T> phi) const {
    for (std::size_t i = 0; i < q.size(); ++i) phi[i] = 2 * q[i];
  }
  template <coca::Real T>
  void map_query_adjoint(std::span<const T>, const Token&, std::span<T> dphi,
                         std::span<T> dq) const {
    for (std::size_t i = 0; i < dq.size(); ++i) dq[i] = 2 * dphi[i];
  }
};
/// Its map is its own, but the adjoint another's.
struct Stale : WithAdjoint {
  template <coca::Real T>
  void map_query(std::span<const T> q, const Token&, std::span<T> phi) const {
    for (std::size_t i = 0; i < q.size(); ++i) phi[i] = 3 * q[i];
  }
};
struct StaleWithoutTemplate : WithAdjoint {
  void map_query(std::span<const float> q, const Token&, std::span<float> phi) const {
    for (std::size_t i = 0; i < q.size(); ++i) phi[i] = 3 * q[i];
  }
};

}  // namespace

TEST_CASE("adjoints are those of the maps", "[scheme]") {
  Random random(71);
  for (const auto layout : {coca::RopeLayout::half_split, coca::RopeLayout::interleaved}) {
    for (const Index dim : {2, 18, 40, 140}) {
      for (const Index rotary_dim : {dim, dim / 4 * 2}) {
        const auto scaling = [](const coca::RopeBase& base) {
          return coca::RotaryFrequencies{base.frequencies(), 0.75};
        };
        const coca::Rope rope(
            {.dim = dim, .rotary_dim = rotary_dim, .layout = layout, .scaling = scaling});
        for_each_form(rope, [&](const auto& form) {
          INFO(form.name << ", dim " << dim << ", rotary " << rope.rotary_dim());
          check(form.scheme, dim, random);
          if constexpr (std::is_constructible_v<AnyScheme, decltype(form.scheme)>) {
            check(AnyScheme(form.scheme), dim, random);
          }
        });
        INFO("xpos, dim " << dim << ", rotary " << rope.rotary_dim());
        check(coca::XPos(coca::Rotary{rope}), dim, random);
        check(coca::XPos(coca::CocaSlack{rope}), dim, random);
        check(coca::AtDistance(coca::CocaStrict{rope}, 40), dim, random);
      }
    }
  }
}

TEST_CASE("adjoints over positions of several axes", "[scheme]") {
  Random random(72);
  std::vector<coca::Position> ids(3 * 10);
  for (auto& id : ids) id = random.integer(0, 500);
  const std::vector<Index> sections{3, 3, 2};
  const coca::MultiRope rope(coca::Rope({.dim = 16}), coca::axes_by_section(sections),
                             coca::View<const coca::Position, 3>(ids.data(), {3, 1, 10}));
  check(coca::Rotary(rope), 16, random);
  check(coca::CocaStrict<coca::NonNegativeT, coca::MultiRope>(rope), 16, random);
  check(coca::CocaSlack<coca::RawProjection, coca::MultiRope>(rope), 16, random);
}

TEST_CASE("a derivative of logits follows the chain rule", "[scheme]") {
  const coca::WithLogits inner(coca::Dot{}, Square{});
  const coca::WithLogits both(inner, Square{});
  CHECK(both.logit_derivative(3.0, {}) == 4 * 27.0);
  STATIC_REQUIRE(coca::Differentiable<decltype(both), float>);
  STATIC_REQUIRE_FALSE(coca::Differentiable<coca::WithLogits<coca::Dot, NoDerivative>, float>);
  STATIC_REQUIRE_FALSE(coca::Differentiable<coca::WithLogits<decltype(inner), NoDerivative>>);
  STATIC_REQUIRE_FALSE(
      coca::Differentiable<coca::WithLogits<coca::WithLogits<coca::Dot, NoDerivative>, Square>>);
}

TEST_CASE("a map without its own adjoint is no scheme to go back through", "[scheme]") {
  STATIC_REQUIRE(coca::Differentiable<coca::Dot>);
  STATIC_REQUIRE(coca::Differentiable<WithAdjoint>);
  STATIC_REQUIRE_FALSE(coca::Differentiable<NoAdjoint>);
  STATIC_REQUIRE_FALSE(coca::Differentiable<Stale>);
  STATIC_REQUIRE_FALSE(coca::Differentiable<StaleWithoutTemplate>);
}
