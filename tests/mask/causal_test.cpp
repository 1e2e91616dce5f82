#include "coca/mask/causal.hpp"

#include "coca/coca.hpp"
#include "support/catch.hpp"
#include "support/tiles.hpp"

using coca::Causal;
using coca::Site;

TEST_CASE("causal shows the keys up to the query", "[mask]") {
  CHECK(Causal{}.visible(Site{.query_index = 4, .key_index = 4}));
  CHECK_FALSE(Causal{}.visible(Site{.query_index = 4, .key_index = 5}));
  CHECK(Causal{1}.visible(Site{.query_index = 4, .key_index = 5}));
  CHECK_FALSE(Causal{-1}.visible(Site{.query_index = 4, .key_index = 4}));
  CHECK(Causal{}.visible(Site{.query_index = 4, .key_index = 5, .query_offset = 1}));
}

TEST_CASE("causal knows its tiles", "[mask]") {
  test::Random random(71);
  for (const coca::Index offset : {-7, 0, 5}) {
    CHECK(test::classifies_rightly(Causal{offset}, 40, 50, 10, 0, random));
    CHECK(test::classifies_rightly(Causal{offset}, 40, 50, 0, 12, random));
  }
}

TEST_CASE("by default the last query sees the last key, and no query more than its share",
          "[mask]") {
  // Values count the keys seen: uniform weights average v = 1, 0, 0, ..., so 1/out is the count.
  const auto keys_seen = [](coca::Index queries, coca::Index keys) {
    const Eigen::MatrixXd q = Eigen::MatrixXd::Zero(queries, 1), k = Eigen::MatrixXd::Zero(keys, 1);
    Eigen::MatrixXd v = Eigen::MatrixXd::Zero(keys, 1), out(queries, 1);
    v(0, 0) = 1.0;
    coca::attention(out, q, k, v, coca::Dot{}, Causal{});
    Eigen::VectorXd seen = out.col(0);
    for (double& x : seen) x = x == 0.0 ? 0.0 : 1.0 / x;
    return seen;
  };
  CHECK(keys_seen(3, 3).isApprox(Eigen::Vector3d(1, 2, 3)));
  CHECK(keys_seen(2, 5).isApprox(Eigen::Vector2d(4, 5)));
  CHECK(keys_seen(1, 9)(0) == Approx(9));
  CHECK(keys_seen(4, 2).isApprox(Eigen::Vector4d(0, 0, 1, 2)));
}
