#pragma once

#include <coca/cache/paged_cache.hpp>
#include <coca/position/rope.hpp>
#include <span>
#include <unsupported/Eigen/CXX11/Tensor>

#include "layers/linear.hpp"

/// The attention layers of LLaMA, Qwen2 and Qwen3, and the CoCA variants of them. For programs that
/// define EIGEN_USE_THREADS.
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

/// Causal self-attention with its projections,
///     y = o_proj(attention(q, k, v)),  q = norm(q_proj(x)),  k = norm(k_proj(x)),  v = v_proj(x),
/// over the rows x of tokens. Biases, and the norms of every head, are those the weights have. The CoCA
/// variants are as published (Zhu et al., ACL 2024, and its code): the key operand is
///     t_j = relu((k_j + k_{j + head_dim/2}) / 2)
/// of the row k of a head that a rotary layer would turn.
class AttentionLayer {
 public:
  /// Throws std::invalid_argument for weights that are not of the shapes that the configuration asks for.
  AttentionLayer(AttentionConfig config, AttentionWeights weights);

  const AttentionConfig& config() const { return config_; }
  const AttentionWeights& weights() const { return weights_; }

  /// Every row x by itself: what attention works on.
  AttentionOperands project(const Matrix& x) const;

  /// y for whole sequences of one length: x [sequences * tokens, hidden] has the rows of one sequence
  /// after the other. Positions begin at 0.
  Matrix forward(const Matrix& x, Index sequences, const Eigen::ThreadPoolDevice& device) const;

  /// y for the next tokens of sequences, as many of each, whose earlier ones are in the cache; the new
  /// ones are put there too. The cache is one of cache_options(), for this layer alone. A rope that
  /// follows the length has that of the longest sequence.
  Matrix forward(const Matrix& x, coca::PagedCache& cache,
                 std::span<const coca::SequenceId> sequences,
                 const Eigen::ThreadPoolDevice& device) const;

  /// What a cache for this layer holds of a token, in float32.
  coca::CacheOptions cache_options() const;

 private:
  AttentionConfig config_;
  AttentionWeights weights_;
};

}  // namespace layers
