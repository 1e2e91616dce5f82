// EXPECT: must be tensors with four axes, or matrices, with memory behind them
#include "coca/coca.hpp"

void call(Eigen::MatrixXf& out, const Eigen::MatrixXf& x) {
#ifdef COCA_MUST_COMPILE
  const Eigen::MatrixXf sum = x + x;
  coca::attention(out, sum, x, x, coca::Dot{});
#else
  coca::attention(out, x + x, x, x, coca::Dot{});
#endif
}
