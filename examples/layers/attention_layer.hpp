#pragma once

#include <coca/cache/paged_cache.hpp>
#include <span>
#include <unsupported/Eigen/CXX11/Tensor>

#include "layers/attention_operands.hpp"

/// The attention layers of LLaMA, Qwen2 and Qwen3, and the CoCA variants of them. For programs that
/// define EIGEN_USE_THREADS.
namespace layers {

/// Causal self-attention with its projections,
///     y = o_proj(attention(q, k, v)),  q = norm(q_proj(x)),  k = norm(k_proj(x)),  v = v_proj(x),
/// over the rows x of tokens.
class AttentionLayer {
 public:
  /// Throws std::invalid_argument for weights that are not of the shapes that the configuration asks for.
  AttentionLayer(AttentionConfig config, AttentionWeights weights);

  const AttentionConfig& config() const { return config_; }
  const AttentionWeights& weights() const { return weights_; }

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
