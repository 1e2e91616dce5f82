// EXPECT: satisf(y|action of) [^A-Za-z]*TensorLike
#include "coca/coca.hpp"

void call(Eigen::MatrixXf& out, const Eigen::MatrixXf& x) {
#ifdef COCA_MUST_COMPILE
  const Eigen::MatrixXf sum = x + x;
  coca::attention(out, sum, x, x, coca::Dot{});
#else
  coca::attention(out, x + x, x, x, coca::Dot{});
#endif
}
