#include "coca/scheme/coca.hpp"

#include <cmath>
#include <numbers>

#include "coca/scheme/rotary.hpp"
#include "support/catch.hpp"
#include "support/forms.hpp"
#include "support/random.hpp"

namespace {

using namespace test;
using coca::Position;

constexpr double kPi = std::numbers::pi;

/// Random q and t for one rope.
struct Operands {
  std::vector<double> q, t;
  Operands(Index dim, Random& random)
      : q(static_cast<std::size_t>(dim)), t(static_cast<std::size_t>(dim / 2)) {
    for (double& x : q) x = random.uniform();
    for (double& x : t) x = std::fabs(random.uniform());
  }
  /// What every score of these operands is at most, and its rounding error relative to.
  double magnitude() const {
    double squares = 0.0;
    for (const double x : q) squares += x * x;
    return 2.0 * squares;
  }
  void equal_members(const coca::Rope& rope) {
    for (Index j = 0; j < rope.dim() / 2; ++j) {
      const auto [first, second] = rope.pair(j);
      q[static_cast<std::size_t>(second)] = q[static_cast<std::size_t>(first)];
    }
  }
};

const std::array<coca::Rope, 4>& ropes() {
  using enum coca::RopeLayout;
  static const std::array<coca::Rope, 4> all{
      coca::Rope({.dim = 32}), coca::Rope({.dim = 32, .layout = interleaved}),
      coca::Rope({.dim = 24, .rotary_dim = 8}),
      coca::Rope({.dim = 24, .rotary_dim = 8, .layout = interleaved})};
  return all;
}

/// Rounding of a score in double: a few dozen operations, no cancellation beyond the magnitude.
constexpr double kRounding = 1e-14;

template <class S>
double of(const S& scheme, const std::vector<double>& q, Position m, const std::vector<double>& t,
          Position n) {
  return score<double>(scheme, q, m, t, n);
}

}  // namespace

TEST_CASE("strict, factored, is strict by definition", "[scheme]") {
  Random random(1);
  for (const auto& rope : ropes()) {
    const Operands x(rope.dim(), random);
    for (int i = 0; i < 50; ++i) {
      const Position m = random.integer(-2000, 100000);
      const Position n = random.integer(-2000, 100000);
      const double definition = reference::StrictScore{rope}(x.q, m, x.t, n);
      CHECK(std::fabs(of(coca::CocaStrict{rope}, x.q, m, x.t, n) - definition) <=
            kRounding * x.magnitude());
    }
  }
}

TEST_CASE("the materialised strict keys give the strict scores", "[scheme]") {
  Random random(2);
  const coca::Rope rope({.dim = 8});
  const std::vector<Position> at{0, 5, 70, 700};
  std::vector<double> q, t;
  for (std::size_t n = 0; n < at.size(); ++n) {
    const Operands x(rope.dim(), random);
    q.insert(q.end(), x.q.begin(), x.q.end());
    t.insert(t.end(), x.t.begin(), x.t.end());
  }
  const auto keys = reference::strict_keys(q, at, t, at, rope);
  REQUIRE(keys.size() == at.size() * at.size() * 8);
  for (std::size_t m = 0; m < at.size(); ++m) {
    for (std::size_t n = 0; n < at.size(); ++n) {
      const std::span<const double> query(q.data() + 8 * m, 8);
      const std::span<const double> key(keys.data() + 8 * (at.size() * m + n), 8);
      const double literal = reference::dot(reference::rotated(query, at[m], rope), key);
      const double factored = score<double>(coca::CocaStrict{rope}, query, at[m],
                                            std::span<const double>(t.data() + 4 * n, 4), at[n]);
      CHECK(std::fabs(factored - literal) <= kRounding * 16.0);
    }
  }
}

TEST_CASE("strict depends on the distance only", "[scheme]") {
  Random random(3);
  for (const auto& rope : ropes()) {
    const Operands x(rope.dim(), random);
    for (int i = 0; i < 50; ++i) {
      const Position m = random.integer(0, 4000);
      const Position n = random.integer(0, 4000);
      const Position shift = 1000003;
      const coca::CocaStrict strict{rope};
      const double here = of(strict, x.q, m, x.t, n);
      CHECK(std::fabs(of(strict, x.q, m + shift, x.t, n + shift) - here) <=
            kRounding * x.magnitude());
      const double distance = reference::StrictScore{rope}(x.q, m - n, x.t, 0);
      CHECK(std::fabs(here - distance) <= kRounding * x.magnitude());
    }
  }
}

TEST_CASE("slack is strict exactly where both members of every query pair are equal", "[scheme]") {
  Random random(4);
  for (const auto& rope : ropes()) {
    Operands x(rope.dim(), random);
    double apart = 0.0;
    for (int i = 0; i < 20; ++i) {
      const Position m = random.integer(0, 4000);
      const Position n = random.integer(0, 4000);
      const double strict = of(coca::CocaStrict{rope}, x.q, m, x.t, n);
      const double slack = of(coca::CocaSlack{rope}, x.q, m, x.t, n);
      apart = std::max(apart, std::fabs(slack - strict));
    }
    CHECK(apart > 0.05 * x.magnitude() / static_cast<double>(rope.dim()));

    x.equal_members(rope);
    for (int i = 0; i < 20; ++i) {
      const Position m = random.integer(0, 4000);
      const Position n = random.integer(0, 4000);
      const double strict = of(coca::CocaStrict{rope}, x.q, m, x.t, n);
      CHECK(std::fabs(of(coca::CocaSlack{rope}, x.q, m, x.t, n) - strict) <=
            kRounding * x.magnitude());
    }
  }
}

TEST_CASE(
    "strict minus slack is t (a - b) sin(n theta) [(a + b) cos(m theta) + (a - b) sin(m theta)]",
    "[scheme]") {
  Random random(5);
  const coca::Rope rope({.dim = 2, .inv_freq = {0.37}});
  for (int i = 0; i < 100; ++i) {
    const double a = random.uniform(), b = random.uniform(), t = std::fabs(random.uniform());
    const Position m = random.integer(0, 50), n = random.integer(0, 50);
    const double angle_m = 0.37 * static_cast<double>(m), angle_n = 0.37 * static_cast<double>(n);
    const double expected = t * (a - b) * std::sin(angle_n) *
                            ((a + b) * std::cos(angle_m) + (a - b) * std::sin(angle_m));
    const double strict = of(coca::CocaStrict{rope}, {a, b}, m, {t}, n);
    const double slack = of(coca::CocaSlack{rope}, {a, b}, m, {t}, n);
    CHECK(std::fabs(strict - slack - expected) <= kRounding * 4.0);
  }
}

TEST_CASE("slack changes when all positions shift", "[scheme]") {
  Random random(6);
  for (const auto& rope : ropes()) {
    const Operands x(rope.dim(), random);
    const coca::CocaSlack slack{rope};
    double change = 0.0;
    for (Position shift = 1; shift <= 16; ++shift) {
      change = std::max(
          change, std::fabs(of(slack, x.q, 7 + shift, x.t, 3 + shift) - of(slack, x.q, 7, x.t, 3)));
    }
    CHECK(change > 0.05 * x.magnitude() / static_cast<double>(rope.dim()));
  }
}

TEST_CASE("a slack score of a token with itself can be negative, a strict one cannot", "[scheme]") {
  // a = 1, b = 0, m theta = 3 pi / 8.
  const coca::Rope rope({.dim = 2, .inv_freq = {3.0 * kPi / 8.0}});
  CHECK(of(coca::CocaSlack{rope}, {1.0, 0.0}, 1, {1.0}, 1) == Approx(-0.20710678118654752));
  CHECK(of(coca::CocaStrict{rope}, {1.0, 0.0}, 1, {1.0}, 1) == Approx(1.0));
}

TEST_CASE("constrained is strict of the constrained query", "[scheme]") {
  Random random(7);
  for (const auto& rope : ropes()) {
    const Operands x(rope.dim(), random);
    const auto constrained_q = reference::constrained(x.q, rope);
    for (int i = 0; i < 50; ++i) {
      const Position m = random.integer(0, 100000);
      const Position n = random.integer(0, 100000);
      const double strict = of(coca::CocaStrict{rope}, constrained_q, m, x.t, n);
      const double constrained = of(coca::CocaConstrained{rope}, x.q, m, x.t, n);
      CHECK(std::fabs(constrained - strict) <= kRounding * x.magnitude());
      CHECK(std::fabs(constrained - of(coca::CocaSlack{rope}, constrained_q, m, x.t, n)) <=
            kRounding * x.magnitude());
    }
  }
}

TEST_CASE("a raw projection is t = relu of the pair's mean", "[scheme]") {
  Random random(8);
  for (const auto& rope : ropes()) {
    Operands x(rope.dim(), random);
    std::vector<double> projection(static_cast<std::size_t>(rope.dim()));
    for (double& value : projection) value = random.uniform();
    const auto t = reference::t_of_projection(projection, rope);
    CHECK(std::any_of(t.begin(), t.end(), [](double value) { return value == 0.0; }));
    CHECK(of(coca::CocaSlack{rope, coca::RawProjection{}}, x.q, 9, projection, 4) ==
          of(coca::CocaSlack{rope}, x.q, 9, t, 4));
    CHECK(of(coca::CocaStrict{rope, coca::RawProjection{}}, x.q, 9, projection, 4) ==
          of(coca::CocaStrict{rope}, x.q, 9, t, 4));
    CHECK(of(coca::CocaConstrained{rope, coca::RawProjection{}}, x.q, 9, projection, 4) ==
          of(coca::CocaConstrained{rope}, x.q, 9, t, 4));
  }
  // A NaN in the projection is not mistaken for a negative number.
  const coca::Rope rope({.dim = 2});
  CHECK(
      std::isnan(of(coca::CocaStrict{rope, coca::RawProjection{}}, {1.0, 1.0}, 0, {NAN, 0.0}, 0)));
}

TEST_CASE("a negative t turns the sign of its pair's score", "[scheme]") {
  const coca::Rope rope({.dim = 2});
  const coca::CocaStrict strict{rope};
  CHECK(of(strict, {0.5, 0.25}, 3, {-2.0}, 1) == -of(strict, {0.5, 0.25}, 3, {2.0}, 1));
}

TEST_CASE("collinear scores never rise within the first half period, RoPE's do", "[scheme]") {
  const double theta = kPi / 64.0;  // half a period is 64 tokens
  const coca::Rope rope({.dim = 2, .inv_freq = {theta}});
  Random random(9);
  SECTION("strict CoCA, for any q and t >= 0, both ways from the query") {
    for (int i = 0; i < 200; ++i) {
      const std::vector<double> q{random.uniform(), random.uniform()};
      const std::vector<double> t{std::fabs(random.uniform())};
      const Position m = random.integer(0, 5000);
      for (const Position direction : {-1, 1}) {
        for (Position distance = 0; distance < 64; ++distance) {
          const double near = of(coca::CocaStrict{rope}, q, m, t, m + direction * distance);
          const double far = of(coca::CocaStrict{rope}, q, m, t, m + direction * (distance + 1));
          CHECK(far <= near + kRounding);
        }
      }
    }
  }
  SECTION("RoPE, with an angle Theta from key to query, the anomalies of the paper's figure 3") {
    // The pair's score is cos(Theta + (m - n) theta). q lies at angle Theta, k at 0.
    const auto rising_tokens = [&](double initial_angle, Position direction) {
      const std::vector<double> q{std::cos(initial_angle), std::sin(initial_angle)};
      const std::vector<double> k{1.0, 0.0};
      const coca::Rotary rotary{rope};
      const Position m = 1000;
      Position distance = 0;
      while (of(rotary, q, m, k, m + direction * (distance + 1)) >
             of(rotary, q, m, k, m + direction * distance) + kRounding) {
        ++distance;
      }
      return distance;
    };
    const double initial_angle = kPi / 4.0;  // 16 tokens' worth
    // (a) keys after the query (m < n), Theta <= pi: rises over the nearest Theta / theta tokens.
    CHECK(rising_tokens(initial_angle, 1) == 16);
    // (b) keys before the query, Theta <= pi: falls at once.
    CHECK(rising_tokens(initial_angle, -1) == 0);
    // (c) keys after the query, Theta > pi: falls at once.
    CHECK(rising_tokens(2.0 * kPi - initial_angle, 1) == 0);
    // (d) keys before the query, Theta > pi: rises over (2 pi - Theta) / theta tokens; this is the
    // case that a causal model meets.
    CHECK(rising_tokens(2.0 * kPi - initial_angle, -1) == 16);
    // Collinear, Theta = 0: no rise on either side.
    CHECK(rising_tokens(0.0, 1) == 0);
    CHECK(rising_tokens(0.0, -1) == 0);
  }
}

TEST_CASE("CoCA schemes know the widths of their operands", "[scheme]") {
  const coca::Rope rope({.dim = 64});
  CHECK(coca::CocaSlack{rope}.key_dim(64) == 32);
  CHECK(coca::CocaSlack{rope, coca::RawProjection{}}.key_dim(64) == 64);
  CHECK(coca::CocaStrict{rope}.score_dim(64) == 64);
  CHECK_THROWS_WITH(coca::CocaSlack{rope}.check({.query_dim = 128}),
                    "coca: head_dim of q is 128, expected 64 (rope.dim)");
}
