#include <coca/extern.hpp>

#include "support/catch.hpp"

/// A file that calls what another one, instances.cpp, has compiled.
TEST_CASE("the common kernels are found where they were compiled", "[linking]") {
  Eigen::MatrixXf q(3, 4);
  q.setRandom();
  Eigen::MatrixXf v = q, out(3, 4);
  coca::attention(out, q, q, v, coca::Dot{}, coca::Causal{});
  CHECK(out.row(0).isApprox(v.row(0)));
  coca::attention(out, q, q, v, coca::Rotary{coca::Rope({.dim = 4})}, coca::Causal{},
                  {.soft_cap = 30.0});
  CHECK(out.row(0).isApprox(v.row(0)));
  // Not among them, so compiled here.
  coca::attention(out, q, q, v, coca::Dot{}, coca::SlidingWindow(0, 0));
  CHECK(out.isApprox(v));
}
