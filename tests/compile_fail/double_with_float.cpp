// EXPECT: double goes with double only
#include "coca/coca.hpp"

#ifdef COCA_MUST_COMPILE
using Keys = Eigen::MatrixXf;
#else
using Keys = Eigen::MatrixXd;
#endif

void call(Eigen::MatrixXf& out, const Eigen::MatrixXf& q, const Keys& k) {
  coca::attention(out, q, k, q, coca::Dot{});
}
