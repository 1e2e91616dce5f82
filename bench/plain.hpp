#pragma once

#include <Eigen/Core>
#include <cmath>
#include <limits>

#include "problem.hpp"

/// Attention in plain steps of Eigen, with every intermediate in memory: what one writes first.
namespace bench::plain {

using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Head = Eigen::Map<const Matrix, 0, Eigen::OuterStride<>>;

/// One head of a tensor as a matrix [sequence, width].
inline Head head_of(const Tensor<float>& x, Index head) {
  const Index heads = x.dimension(2), width = x.dimension(3);
  return {x.data() + head * width, x.dimension(1), width, Eigen::OuterStride<>(heads * width)};
}

/// Scores to probabilities, in place.
inline void softmax(Matrix& scores, bool causal) {
  for (Index m = 0; m < scores.rows(); ++m) {
    auto row = scores.row(m);
    if (causal)
      row.tail(scores.cols() - 1 - m).setConstant(-std::numeric_limits<float>::infinity());
    row = (row.array() - row.maxCoeff()).exp();
    row /= row.sum();
  }
}

/// Standard attention, head by head.
inline void standard(Problem<float>& p) {
  const float scale = 1.0F / std::sqrt(static_cast<float>(p.shape.dim));
  const Index group = p.shape.heads / p.shape.key_heads;
  Matrix scores;
  for (Index h = 0; h < p.shape.heads; ++h) {
    scores.noalias() = scale * head_of(p.q, h) * head_of(p.k, h / group).transpose();
    softmax(scores, p.shape.causal);
    Eigen::Map<Matrix, 0, Eigen::OuterStride<>> out(
        p.out.data() + h * p.shape.dim, p.shape.length, p.shape.dim,
        Eigen::OuterStride<>(p.shape.heads * p.shape.dim));
    out.noalias() = scores * head_of(p.v, h / group);
  }
}

/// Bytes of its scores.
inline double standard_bytes(const Shape& shape) {
  const auto n = static_cast<double>(shape.length);
  return sizeof(float) * n * n;
}

/// The strict form as it is defined: a key R_n (q_m o t_n) for every query and every key. One head,
/// no mask, pairs (x_j, x_{j + dim/2}).
class StrictByDefinition {
 public:
  StrictByDefinition(const coca::Rope& rope, Index length)
      : cosine_(length, rope.dim() / 2), sine_(length, rope.dim() / 2) {
    for (Index n = 0; n < length; ++n) {
      for (Index j = 0; j < rope.dim() / 2; ++j) {
        const double angle = static_cast<double>(n) * rope.inv_freq()[static_cast<std::size_t>(j)];
        cosine_(n, j) = static_cast<float>(std::cos(angle));
        sine_(n, j) = static_cast<float>(std::sin(angle));
      }
    }
  }

  void operator()(Problem<float>& p) const {
    const Index length = p.shape.length, half = p.shape.dim / 2;
    const auto q = head_of(p.q, 0), t = head_of(p.k, 0), v = head_of(p.v, 0);
    Matrix keys(length * length, p.shape.dim), scores(length, length), turned(1, p.shape.dim);
    for (Index m = 0; m < length; ++m) {
      const auto a = q.row(m).head(half).array(), b = q.row(m).tail(half).array();
      for (Index n = 0; n < length; ++n) {
        const auto ta = t.row(n).array() * a, tb = t.row(n).array() * b;
        const auto c = cosine_.row(n).array(), s = sine_.row(n).array();
        keys.row(m * length + n).head(half) = (ta * c - tb * s).matrix();
        keys.row(m * length + n).tail(half) = (tb * c + ta * s).matrix();
      }
    }
    const float scale = 1.0F / std::sqrt(static_cast<float>(p.shape.dim));
    for (Index m = 0; m < length; ++m) {
      const auto a = q.row(m).head(half).array(), b = q.row(m).tail(half).array();
      const auto c = cosine_.row(m).array(), s = sine_.row(m).array();
      turned.leftCols(half) = scale * (a * c - b * s).matrix();
      turned.rightCols(half) = scale * (b * c + a * s).matrix();
      scores.row(m).noalias() = turned * keys.middleRows(m * length, length).transpose();
    }
    softmax(scores, false);
    Eigen::Map<Matrix>(p.out.data(), length, p.shape.dim).noalias() = scores * v;
  }

  /// Bytes of its keys and scores.
  static double bytes(const Shape& shape) {
    return standard_bytes(shape) * static_cast<double>(shape.dim + 1);
  }

 private:
  Matrix cosine_, sine_;
};

}  // namespace bench::plain
