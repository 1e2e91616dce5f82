#pragma once

#include <Eigen/Dense>
#include <coca/core/view.hpp>
#include <type_traits>

/// What the layers of LLaMA-like models are made of, over matrices with a row for each token.
namespace layers {

using coca::Index;

using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Vector = Eigen::VectorXf;

/// y = x W + b for every row x.
struct Linear {
  /// [width of x, width of y]: the transpose of what checkpoints have, as one row of x, the step of
  /// generation, is multiplied faster by it.
  Matrix weight;
  Vector bias = {};  ///< [width of y], or empty: none

  Matrix operator()(const Matrix& x) const {
    Matrix y = x * weight;
    if (bias.size() > 0) y.rowwise() += bias.transpose();
    return y;
  }
};

/// y_i = gain_i x_i / sqrt(mean of x^2 + epsilon) for every row x (Zhang & Sennrich 2019, equation 4).
inline Matrix rms_norm(const Eigen::Ref<const Matrix>& x, const Vector& gain, float epsilon) {
  const Vector mean_squares = x.rowwise().squaredNorm() / static_cast<float>(x.cols());
  const Vector factors = (mean_squares.array() + epsilon).rsqrt();
  return factors.asDiagonal() * x * gain.asDiagonal();
}

/// silu(gate) o up  (Shazeer 2020, SwiGLU).
inline Matrix swiglu(const Matrix& gate, const Matrix& up) {
  return gate.array() / (1.0F + (-gate.array()).exp()) * up.array();
}

/// [sequences, tokens, heads, width / heads] of a matrix whose rows are the tokens of one sequence after
/// the other.
template <class M>
auto with_heads(M& x, Index sequences, Index heads) {
  return coca::TensorView<std::remove_pointer_t<decltype(x.data())>>(
      x.data(), {sequences, x.rows() / sequences, heads, x.cols() / heads});
}

}  // namespace layers
