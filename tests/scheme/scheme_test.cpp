#include "coca/scheme/scheme.hpp"

#include <vector>

#include "coca/coca.hpp"
#include "support/catch.hpp"

/// What the kernel is told by the types of a scheme's maps.
namespace {

using namespace coca;

struct HidesWithTemplate : SchemeDefaults {
  template <Real T>
  void map_query(std::span<const T> q, const Token&, std::span<T> phi) const {
    for (std::size_t i = 0; i < q.size(); ++i) phi[i] = 2 * q[i];
  }
};
struct HidesWithoutTemplate : SchemeDefaults {
  void map_query(std::span<const float> q, const Token&, std::span<float> phi) const {
    for (std::size_t i = 0; i < q.size(); ++i) phi[i] = 2 * q[i];
  }
};
struct AddsAnOverload : SchemeDefaults {
  using SchemeDefaults::map_query;
  void map_query(std::span<const float> q, const Token&, std::span<float> phi) const {
    for (std::size_t i = 0; i < q.size(); ++i) phi[i] = 2 * q[i];
  }
};
struct SaysAnotherWidth : SchemeDefaults {
  Index score_dim(Index query_dim) const { return query_dim + 1; }
};
/// q . k + 1, by way of one coordinate more.
struct OneMore : SaysAnotherWidth {
  template <Real T>
  void map_query(std::span<const T> q, const Token&, std::span<T> phi) const {
    std::copy(q.begin(), q.end(), phi.begin());
    phi.back() = T(1);
  }
  template <Real T>
  void map_key(std::span<const T> k, const Token& token, std::span<T> psi) const {
    std::copy(k.begin(), k.end(), psi.begin());
    psi.back() = static_cast<T>(token.position);
  }
};

/// A rope's scheme, but for its keys.
struct Doubles : Rotary<> {
  using Rotary<>::Rotary;
  template <Real T>
  void map_key(std::span<const T> k, const Token&, std::span<T> psi) const {
    for (std::size_t i = 0; i < k.size(); ++i) psi[i] = 2 * k[i];
  }
};
/// The same, but for its queries.
struct KeysAsEver : Rotary<> {
  using Rotary<>::Rotary;
  template <Real T>
  void map_query(std::span<const T> q, const Token&, std::span<T> phi) const {
    std::copy(q.begin(), q.end(), phi.begin());
  }
};

Eigen::MatrixXf numbers() {
  Eigen::MatrixXf x(5, 4);
  for (Index i = 0; i < 20; ++i) x.data()[i] = static_cast<float>(i % 7) / 8.0F;
  return x;
}
template <class S>
Eigen::MatrixXf attended(const S& scheme, const Eigen::MatrixXf& q) {
  const Eigen::MatrixXf k = numbers();
  Eigen::MatrixXf out(5, 4);
  attention(out, q, k, k, scheme, Full{}, {.scale = 1.0});
  return out;
}

struct Shifted {
  template <class T>
  T operator()(T score, const Site&) const {
    return score + 1;
  }
};

}  // namespace

TEST_CASE("a map is kept from being called only where it is the identity", "[scheme]") {
  STATIC_REQUIRE(KeepsQueries<Dot, float>);
  STATIC_REQUIRE(KeepsKeys<Dot, double>);
  STATIC_REQUIRE(KeepsKeys<WithLogits<Dot, Shifted>, float>);
  STATIC_REQUIRE_FALSE(KeepsKeys<Rotary<>, float>);
  STATIC_REQUIRE_FALSE(KeepsQueries<CocaSlack<>, float>);
  STATIC_REQUIRE(KeepsKeys<HidesWithTemplate, float>);

  const Eigen::MatrixXf q = numbers();
  const Eigen::MatrixXf expected = attended(Dot{}, 2 * q);
  CHECK(attended(HidesWithTemplate{}, q) == expected);
  CHECK(attended(HidesWithoutTemplate{}, q) == expected);
  CHECK(attended(AddsAnOverload{}, q) == expected);
}

TEST_CASE("phi and psi may be wider than q and k", "[scheme]") {
  // The last coordinate adds the key's position to its score.
  const Eigen::MatrixXf q = numbers(), k = numbers();
  Eigen::MatrixXf scores = q * k.transpose();
  for (Index n = 0; n < 5; ++n) scores.col(n).array() += static_cast<float>(n);
  Eigen::MatrixXf weights = scores.array().exp();
  for (Index m = 0; m < 5; ++m) weights.row(m) /= weights.row(m).sum();
  CHECK(attended(OneMore{}, q).isApprox(weights * k, 1e-5F));
}

TEST_CASE("a scheme that keeps rows of one width and says another is refused", "[scheme]") {
  CHECK_THROWS_WITH(attended(SaysAnotherWidth{}, numbers()),
                    "coca: scheme.score_dim is 5, expected 4 (head_dim of q, which it keeps as it "
                    "is)");
}

TEST_CASE("of keys that a derived scheme maps otherwise, it is not said that they turn",
          "[scheme]") {
  STATIC_REQUIRE(TurnsKeys<Rotary<>>);
  STATIC_REQUIRE(TurnsKeys<CocaStrict<>>);
  STATIC_REQUIRE(TurnsKeys<CocaSlack<>>);
  STATIC_REQUIRE(TurnsKeys<KeysAsEver>);
  STATIC_REQUIRE(!TurnsKeys<Doubles>);
  STATIC_REQUIRE(!TurnsKeys<Dot>);
  STATIC_REQUIRE(!TurnsKeys<Rotary<MultiRope>>);
  STATIC_REQUIRE(!TurnsKeys<CocaSlack<RawProjection>>);
  // Queries turn by nothing here.
  const Rope still({.dim = 4, .inv_freq = std::vector<double>{0.0, 0.0}});
  const Eigen::MatrixXf k = numbers();
  Eigen::MatrixXf expected(5, 4);
  attention(expected, k, k, k, Dot{}, Full{}, {.scale = 2.0});
  CHECK(attended(Doubles(still), k) == expected);
}
