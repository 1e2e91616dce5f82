#include "coca/coca.hpp"

/// One half of a program whose two files include everything.
float attended_in_first() {
  const Eigen::MatrixXf q = Eigen::MatrixXf::Ones(2, 4);
  Eigen::MatrixXf out(2, 4);
  coca::attention(out, q, q, q, coca::Rotary{coca::Rope({.dim = 4})}, coca::Causal{});
  return out(1, 3);
}
