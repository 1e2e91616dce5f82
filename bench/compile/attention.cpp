#include HEADER

/// A file with one call, as users have it.
using Tensor = Eigen::Tensor<float, 4, Eigen::RowMajor>;

void attend(Tensor& out, const Tensor& q, const Tensor& k, const Tensor& v) {
  coca::attention(out, q, k, v, coca::Dot{}, coca::Causal{});
}
