#pragma once

#include <cmath>
#include <cstdint>
#include <functional>
#include <random>
#include <span>
#include <vector>

#include "layers/attention_layer.hpp"

/// A small language model over bytes, of LLaMA's blocks (Touvron et al. 2023), with attention by a
/// scheme of coca.
namespace generate {

using layers::AttentionLayer;
using layers::Index;
using layers::Linear;
using layers::Matrix;
using layers::Vector;
using Byte = unsigned char;

struct ModelOptions {
  static constexpr Index vocabulary = 256;

  Index layers = 4;
  Index heads = 8;
  Index key_heads = 2;
  Index head_dim = 32;
  Index hidden = 704;  ///< between the products of SwiGLU, 8/3 of the width as LLaMA has it
  layers::Scheme scheme = layers::Scheme::coca_slack;

  Index width() const { return heads * head_dim; }
};

class Model {
 public:
  /// Weights are random: normal numbers that keep the size of what passes through them. The gains of
  /// norms are 1, where training begins.
  Model(const ModelOptions& options, std::uint64_t seed) : gain_(Vector::Ones(options.width())) {
    std::mt19937_64 engine(seed);
    const auto weights = [&](Index from, Index to) {
      std::normal_distribution<float> normal(0.0F, 1.0F / std::sqrt(static_cast<float>(from)));
      return Linear{Matrix::NullaryExpr(from, to, [&] { return normal(engine); })};
    };
    const Index width = options.width();
    const Index key_width = options.key_heads * options.head_dim;
    const layers::AttentionConfig attention{.hidden = width,
                                            .heads = options.heads,
                                            .key_heads = options.key_heads,
                                            .rope = coca::Rope({.dim = options.head_dim}),
                                            .scheme = options.scheme};
    embedding_ = weights(width, ModelOptions::vocabulary).weight.transpose();
    for (Index layer = 0; layer < options.layers; ++layer) {
      // A list in braces is evaluated in order, and so the weights are those of the seed.
      blocks_.push_back(
          {AttentionLayer(attention, {weights(width, width), weights(width, key_width),
                                      weights(width, key_width), weights(width, width)}),
           weights(width, options.hidden), weights(width, options.hidden),
           weights(options.hidden, width)});
    }
  }

  Index layers() const { return static_cast<Index>(blocks_.size()); }
  /// The widest sum of products there is.
  Index hidden() const { return blocks_.front().gate.weight.cols(); }
  const AttentionLayer& attention(Index layer) const {
    return blocks_[static_cast<std::size_t>(layer)].attention;
  }

  /// What the attention of a layer makes of the tokens x, in rows.
  using Attend = std::function<Matrix(Index layer, const Matrix& x)>;

  /// The logits of the byte that follows the last of these tokens.
  Vector next_logits(std::span<const Byte> tokens, const Attend& attend) const {
    Matrix x(static_cast<Index>(tokens.size()), gain_.size());
    for (Index n = 0; n < x.rows(); ++n) {
      x.row(n) = embedding_.row(tokens[static_cast<std::size_t>(n)]);
    }
    for (Index layer = 0; layer < layers(); ++layer) {
      x += attend(layer, norm(x));
      const Block& block = blocks_[static_cast<std::size_t>(layer)];
      const Matrix y = norm(x);
      x += block.down(layers::swiglu(block.gate(y), block.up(y)));
    }
    return embedding_ * norm(x.bottomRows(1)).transpose();
  }

 private:
  struct Block {
    AttentionLayer attention;
    Linear gate, up, down;
  };

  Matrix norm(const Eigen::Ref<const Matrix>& x) const { return layers::rms_norm(x, gain_, 1e-5F); }

  Matrix embedding_;  ///< a row for each byte
  Vector gain_;
  std::vector<Block> blocks_;
};

}  // namespace generate
