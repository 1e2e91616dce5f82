#include "layers/attention_operands.hpp"

#include <string>
#include <utility>

#include "command_line/require.hpp"

namespace layers {

namespace {

/// The norm of every head, where there is one.
void norm_heads(Matrix& x, const Vector& gain, float epsilon) {
  if (gain.size() == 0) return;
  Eigen::Map<Matrix> heads(x.data(), x.size() / gain.size(), gain.size());
  heads = rms_norm(heads, gain, epsilon);
}

/// t_j = relu of the mean of pair j, for every head of every row of k.
Matrix collinear(const Matrix& k, const coca::Rope& rope) {
  const Index pairs = rope.dim() / 2;
  Matrix t(k.rows(), k.cols() / 2);
  const Eigen::Map<const Matrix> from(k.data(), t.size() / pairs, rope.dim());
  Eigen::Map<Matrix> to(t.data(), t.size() / pairs, pairs);
  for (Index j = 0; j < pairs; ++j) {
    const std::pair<Index, Index> pair = rope.pair(j);
    to.col(j) = ((from.col(pair.first) + from.col(pair.second)) / 2.0F).cwiseMax(0.0F);
  }
  return t;
}

}  // namespace

AttentionOperands project(const AttentionConfig& config, const AttentionWeights& weights,
                          const Matrix& x) {
  command_line::require(x.cols() == config.hidden, "x.cols", x.cols(),
                        std::to_string(config.hidden));
  AttentionOperands made{weights.q_proj(x), weights.k_proj(x), weights.v_proj(x)};
  norm_heads(made.q, weights.q_norm, config.norm_epsilon);
  norm_heads(made.key, weights.k_norm, config.norm_epsilon);
  if (config.scheme != Scheme::rotary) made.key = collinear(made.key, config.rope);
  return made;
}

}  // namespace layers
