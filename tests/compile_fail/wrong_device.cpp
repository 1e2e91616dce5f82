// EXPECT: the device must be Eigen::DefaultDevice or Eigen::ThreadPoolDevice
#include "coca/coca.hpp"

void call(Eigen::MatrixXf& out, const Eigen::MatrixXf& x) {
#ifdef COCA_MUST_COMPILE
  coca::attention(out, x, x, x, coca::Dot{}, coca::Full{}, {}, Eigen::DefaultDevice{});
#else
  coca::attention(out, x, x, x, coca::Dot{}, coca::Full{}, {}, 2);
#endif
}
