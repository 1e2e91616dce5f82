// EXPECT: must be tensors with four axes, or matrices, with memory behind them
#include "coca/coca.hpp"

#ifdef COCA_MUST_COMPILE
using Tensor = Eigen::Tensor<float, 4>;
#else
using Tensor = Eigen::Tensor<float, 3>;
#endif

void call(Tensor& out, const Tensor& x) { coca::attention(out, x, x, x, coca::Dot{}); }
