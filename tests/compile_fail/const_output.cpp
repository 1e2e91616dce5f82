// EXPECT: out is const, so nothing can be written to it
#include "coca/coca.hpp"

void call(Eigen::MatrixXf& out, const Eigen::MatrixXf& x) {
#ifdef COCA_MUST_COMPILE
  coca::attention(out, x, x, x, coca::Dot{});
#else
  coca::attention(std::as_const(out), x, x, x, coca::Dot{});
#endif
}
