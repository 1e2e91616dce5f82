#pragma once

#include <Eigen/Dense>
#include <cmath>
#include <coca/coca.hpp>
#include <cstdint>
#include <random>
#include <span>
#include <vector>

/// A small language model over bytes, of LLaMA's blocks (Touvron et al. 2023), with attention by a
/// scheme of coca.
namespace generate {

using coca::Index;

/// One row a token.
using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Byte = unsigned char;

struct ModelOptions {
  static constexpr Index vocabulary = 256;

  Index layers = 4;
  Index heads = 8;
  Index key_heads = 2;
  Index head_dim = 32;
  Index hidden = 704;     ///< between the products of SwiGLU, 8/3 of the width as LLaMA has it
  Index key_dim = 0;      ///< width of the key operand: scheme.key_dim(head_dim)
  bool collinear = true;  ///< the key operand is CoCA's t, not negative

  Index width() const { return heads * head_dim; }
};

/// Rows of length sqrt(width). LLaMA's norm has a gain for each column, here left at 1, where
/// training begins.
inline Matrix rms_norm(const Matrix& x) {
  constexpr float epsilon = 1e-5F;
  const Eigen::VectorXf mean_squares = x.rowwise().squaredNorm() / static_cast<float>(x.cols());
  const Eigen::VectorXf factors = (mean_squares.array() + epsilon).rsqrt();
  return factors.asDiagonal() * x;
}

/// [1, tokens, heads, width / heads] of a matrix with a row for each token.
template <class M>
auto with_heads(M& x, Index heads) {
  return coca::TensorView<std::remove_pointer_t<decltype(x.data())>>(
      x.data(), {1, x.rows(), heads, x.cols() / heads});
}

/// Attention of one layer as the blocks want it: from q, the key operand and v of some tokens, in
/// rows, to the rows of the output. Where there is a cache, it is the attention that keeps it.
template <class A>
concept LayerAttention = requires(A attend, Index layer, Matrix& x) {
  attend(layer, x, x, x, x);
};

class Model {
 public:
  /// Weights are random: normal numbers that keep the size of what passes through them.
  Model(const ModelOptions& options, std::uint64_t seed) : options_(options) {
    std::mt19937_64 engine(seed);
    const auto weights = [&](Index from, Index to) {
      std::normal_distribution<float> normal(0.0F, 1.0F / std::sqrt(static_cast<float>(from)));
      return Matrix(Matrix::NullaryExpr(from, to, [&] { return normal(engine); }));
    };
    const Index width = options.width();
    embedding_ = weights(width, ModelOptions::vocabulary).transpose();
    for (Index layer = 0; layer < options.layers; ++layer) {
      // A list in braces is evaluated in order, and so the weights are those of the seed.
      blocks_.push_back({weights(width, width), weights(width, options.key_heads * options.key_dim),
                         weights(width, options.key_heads * options.head_dim),
                         weights(width, width), weights(width, options.hidden),
                         weights(width, options.hidden), weights(options.hidden, width)});
    }
  }

  const ModelOptions& options() const { return options_; }

  /// The logits of the byte that follows the last of these tokens.
  template <LayerAttention Attend>
  Eigen::VectorXf next_logits(std::span<const Byte> tokens, Attend&& attend) const {
    Matrix x(static_cast<Index>(tokens.size()), options_.width());
    for (Index n = 0; n < x.rows(); ++n) {
      x.row(n) = embedding_.row(tokens[static_cast<std::size_t>(n)]);
    }
    for (Index layer = 0; layer < options_.layers; ++layer) {
      const Block& block = blocks_[static_cast<std::size_t>(layer)];
      const Matrix input = rms_norm(x);
      Matrix q = input * block.query;
      Matrix key = input * block.key;
      Matrix v = input * block.value;
      if (options_.collinear) key = key.cwiseMax(0.0F);
      Matrix attended(x.rows(), options_.width());
      attend(layer, q, key, v, attended);
      x += attended * block.output;
      x += swiglu(rms_norm(x), block);
    }
    return embedding_ * rms_norm(x.bottomRows(1)).transpose();
  }

 private:
  struct Block {
    Matrix query, key, value, output;
    Matrix gate, up, down;
  };

  /// (silu(x gate) o (x up)) down  (Shazeer 2020).
  static Matrix swiglu(const Matrix& x, const Block& block) {
    const Matrix gate = x * block.gate;
    const Matrix up = x * block.up;
    const Matrix product = gate.array() / (1.0F + (-gate.array()).exp()) * up.array();
    return product * block.down;
  }

  ModelOptions options_;
  Matrix embedding_;
  std::vector<Block> blocks_;
};

}  // namespace generate
