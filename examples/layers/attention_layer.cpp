#define EIGEN_USE_THREADS
#include "layers/attention_layer.hpp"

#include <algorithm>
#include <array>
#include <coca/coca.hpp>
#include <string>
#include <utility>

#include "command_line/require.hpp"

namespace layers {

namespace {

using command_line::require;
using command_line::text_of;
using Device = Eigen::ThreadPoolDevice;

void check(const std::string& name, const Linear& linear, Index in, Index out) {
  const std::array<Index, 2> shape{linear.weight.rows(), linear.weight.cols()};
  const std::array<Index, 2> expected{in, out};
  require(shape == expected, name + ".weight.shape", shape, text_of(expected));
  require(linear.bias.size() == 0 || linear.bias.size() == out, name + ".bias.size",
          linear.bias.size(), std::to_string(out));
}

void check(const std::string& name, const Vector& gain, Index head_dim) {
  require(gain.size() == 0 || gain.size() == head_dim, name + ".size", gain.size(),
          std::to_string(head_dim) + ", the head_dim");
}

/// That rows are of this many sequences of one length.
void check(const Matrix& x, Index sequences) {
  require(sequences > 0, "sequences", sequences, "1 or more");
  require(x.rows() % sequences == 0, "x.rows", x.rows(),
          "as many for each of " + std::to_string(sequences) + " sequences");
}

/// Calls `use` with the scheme of coca that is meant.
template <class Use>
void with_scheme(Scheme scheme, const coca::Rope& rope, const Use& use) {
  switch (scheme) {
    case Scheme::rotary:
      return use(coca::Rotary{rope});
    case Scheme::coca_strict:
      return use(coca::CocaStrict{rope});
    case Scheme::coca_slack:
      return use(coca::CocaSlack{rope});
    case Scheme::coca_constrained:
      return use(coca::CocaConstrained{rope});
  }
}

}  // namespace

AttentionLayer::AttentionLayer(AttentionConfig config, AttentionWeights weights)
    : config_(std::move(config)), weights_(std::move(weights)) {
  const Index dim = config_.head_dim();
  require(config_.hidden > 0, "hidden", config_.hidden, "1 or more");
  require(config_.key_heads > 0, "key_heads", config_.key_heads, "1 or more");
  require(config_.heads > 0 && config_.heads % config_.key_heads == 0, "heads", config_.heads,
          "a multiple of key_heads, " + std::to_string(config_.key_heads));
  check("q_proj", weights_.q_proj, config_.hidden, config_.heads * dim);
  check("k_proj", weights_.k_proj, config_.hidden, config_.key_heads * dim);
  check("v_proj", weights_.v_proj, config_.hidden, config_.key_heads * dim);
  check("o_proj", weights_.o_proj, config_.heads * dim, config_.hidden);
  check("q_norm", weights_.q_norm, dim);
  check("k_norm", weights_.k_norm, dim);
}

Matrix AttentionLayer::forward(const Matrix& x, Index sequences, const Device& device) const {
  check(x, sequences);
  const AttentionOperands made = project(config_, weights_, x);
  Matrix attended(made.q.rows(), made.q.cols());
  with_scheme(config_.scheme, config_.rope.at_length(x.rows() / sequences),
              [&](const auto& scheme) {
                coca::attention(with_heads(attended, sequences, config_.heads),
                                with_heads(made.q, sequences, config_.heads),
                                with_heads(made.key, sequences, config_.key_heads),
                                with_heads(made.v, sequences, config_.key_heads), scheme,
                                coca::Causal{}, {}, device);
              });
  return weights_.o_proj(attended);
}

Matrix AttentionLayer::forward(const Matrix& x, coca::PagedCache& cache,
                               std::span<const coca::SequenceId> sequences,
                               const Device& device) const {
  const auto count = static_cast<Index>(sequences.size());
  check(x, count);
  const AttentionOperands made = project(config_, weights_, x);
  cache.append(sequences, with_heads(made.key, count, config_.key_heads),
               with_heads(made.v, count, config_.key_heads));
  Index longest = 0;
  for (const coca::SequenceId id : sequences) longest = std::max(longest, cache.length(id));

  Matrix attended(made.q.rows(), made.q.cols());
  with_scheme(config_.scheme, config_.rope.at_length(longest), [&](const auto& scheme) {
    coca::decode(with_heads(attended, count, config_.heads),
                 with_heads(made.q, count, config_.heads), cache, sequences, scheme, coca::Causal{},
                 {}, device);
  });
  return weights_.o_proj(attended);
}

coca::CacheOptions AttentionLayer::cache_options() const {
  return {.key_heads = config_.key_heads,
          .key_dim = config_.key_dim(),
          .value_dim = config_.head_dim()};
}

}  // namespace layers
