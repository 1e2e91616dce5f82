#pragma once

#include <coca/position/rope.hpp>

#include "layers/linear.hpp"

/// What comes before the attention of LLaMA, Qwen2 and Qwen3, and of the CoCA variants of them.
namespace layers {

/// How a query and a key make a score. In a CoCA layer k_proj is what the paper's code calls t_proj.
enum class Scheme { rotary, coca_strict, coca_slack, coca_constrained };

/// The sizes of a layer, and how it makes scores.
struct AttentionConfig {
  Index hidden = 0;     ///< width of what comes in and goes out
  Index heads = 0;      ///< of queries
  Index key_heads = 0;  ///< of keys and values, a divisor of heads
  coca::Rope rope;      ///< of head_dim coordinates
  Scheme scheme = Scheme::rotary;
  float norm_epsilon = 1e-6F;  ///< of the norms of q and k

  Index head_dim() const { return rope.dim(); }
  /// Width of a head's key operand: head_dim, and of CoCA's t half of it.
  Index key_dim() const { return scheme == Scheme::rotary ? head_dim() : head_dim() / 2; }
};

/// The weights of a layer under the names of Hugging Face checkpoints.
struct AttentionWeights {
  Linear q_proj, k_proj, v_proj, o_proj;
  Vector q_norm = {}, k_norm = {};  ///< gains of Qwen3's norms, [head_dim]; empty: no norm
};

/// What attention works on, a row for each token.
struct AttentionOperands {
  Matrix q;    ///< [tokens, heads * head_dim]
  Matrix key;  ///< [tokens, key_heads * key_dim]: k, or CoCA's t
  Matrix v;    ///< [tokens, key_heads * head_dim]
};

/// q = norm(q_proj(x)), k = norm(k_proj(x)), v = v_proj(x) of every row x by itself. Biases, and the norms
/// of every head, are those the weights have. The CoCA variants are as published (Zhu et al., ACL 2024, and
/// its code): the key operand is
///     t_j = relu((k_j + k_{j + head_dim/2}) / 2)
/// of the row k of a head that a rotary layer would turn. Throws std::invalid_argument for rows that are
/// not of the width `hidden`.
AttentionOperands project(const AttentionConfig& config, const AttentionWeights& weights,
                          const Matrix& x);

}  // namespace layers
