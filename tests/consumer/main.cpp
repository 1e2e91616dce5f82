#include <coca/coca.hpp>
#include <cstdio>

int main() {
  Eigen::Tensor<float, 4, Eigen::RowMajor> q(1, 3, 2, 8), t(1, 3, 1, 4), v(1, 3, 1, 8),
      out(1, 3, 2, 8);
  q.setConstant(0.5F);
  t.setConstant(1.0F);
  v.setConstant(2.0F);
  coca::attention(out, q, t, v, coca::CocaSlack{coca::Rope({.dim = 8})}, coca::Causal{});
  std::printf("%g\n", static_cast<double>(out(0, 2, 1, 7)));
  const float error = out(0, 2, 1, 7) - 2.0F;
  return error < 1e-6F && error > -1e-6F ? 0 : 1;
}
