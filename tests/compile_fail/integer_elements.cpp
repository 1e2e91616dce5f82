// EXPECT: elements must be float, double, Eigen::bfloat16 or Eigen::half
#include "coca/coca.hpp"

#ifdef COCA_MUST_COMPILE
using Matrix = Eigen::MatrixXd;
#else
using Matrix = Eigen::MatrixXi;
#endif

void call(Matrix& out, const Matrix& x) { coca::attention(out, x, x, x, coca::Dot{}); }
