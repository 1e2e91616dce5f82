#include HEADER

/// A file with the gradients of one call.
using Tensor = Eigen::Tensor<float, 4, Eigen::RowMajor>;

void go_back(Tensor& dq, Tensor& dk, Tensor& dv, const Tensor& dout, const Tensor& q,
             const Tensor& k, const Tensor& v, const Tensor& out,
             const Eigen::Tensor<float, 3, Eigen::RowMajor>& lse) {
  coca::attention_backward(dq, dk, dv, dout, q, k, v, out, lse, coca::Dot{}, coca::Causal{});
}
