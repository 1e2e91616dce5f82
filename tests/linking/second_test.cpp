#define EIGEN_USE_THREADS
#include "coca/coca.hpp"
#include "support/catch.hpp"

float attended_in_first();

TEST_CASE("two files that include everything link, with and without Eigen's threads", "[linking]") {
  const Eigen::MatrixXf q = Eigen::MatrixXf::Ones(2, 4);
  Eigen::MatrixXf out(2, 4);
  coca::attention(out, q, q, q, coca::Rotary{coca::Rope({.dim = 4})}, coca::Causal{});
  CHECK(out(1, 3) == attended_in_first());
}

TEST_CASE("the version is a number", "[linking]") {
  CHECK(COCA_VERSION_MAJOR * 10000 + COCA_VERSION_MINOR * 100 + COCA_VERSION_PATCH > 0);
}
